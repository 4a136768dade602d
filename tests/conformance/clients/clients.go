//go:build tools

// Package clients pins the programs that test Countersign and that nobody here wrote. build makes them.
package clients

import (
	_ "github.com/fullstorydev/grpcurl/cmd/grpcurl"
	_ "github.com/summerwind/h2spec/cmd/h2spec"
)
