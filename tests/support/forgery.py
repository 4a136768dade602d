"""Certificates that must be refused, made with openssl(1), and the caller that presents them.

The worst of them are signed with the mesh's own intermediate key, which the demo can read because it started the control
plane: to a verifier that checks the signature chain alone they are all good.
"""

import os
import re
import shutil
import subprocess

from tests.support.mesh import run

_CONFIG = """\
[ca]
default_ca = here
[here]
dir = {folder}
new_certs_dir = {folder}
database = {folder}/index.txt
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
copy_extensions = none
[any]
commonName = optional
[leaf]
{extensions}
"""

_GOOD = {
    'basicConstraints': 'critical,CA:FALSE',
    'keyUsage': 'critical,digitalSignature',
    'extendedKeyUsage': 'serverAuth,clientAuth',
}


class Forger:
    def __init__(self, folder, ca_certificate, ca_key):
        """An authority of which `ca_certificate` is the issuing certificate; all files in `folder`."""
        self.folder = folder
        self.ca_certificate = ca_certificate
        self.ca_key = ca_key
        os.makedirs(folder, exist_ok=True)

    @classmethod
    def of_the_mesh(cls, folder, mesh):
        """The intermediate of the control plane, chain and key from its state folder."""
        os.makedirs(folder)
        with open(f'{mesh.state}/ca/intermediate.pem') as file:
            text = file.read()
        key = re.search(r'-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n', text, re.S)
        certificates = re.findall(r'-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n', text, re.S)
        for name, content in (('ca.pem', certificates[0]), ('ca-key.pem', key.group(0))):
            with open(os.open(f'{folder}/{name}', os.O_WRONLY | os.O_CREAT, 0o600), 'w') as file:
                file.write(content)
        return cls(folder, f'{folder}/ca.pem', f'{folder}/ca-key.pem')

    @classmethod
    def stranger(cls, folder, trust_domain):
        """A self-signed authority that nobody trusts."""
        os.makedirs(folder)
        run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
             '-subj', '/CN=Stranger', '-keyout', f'{folder}/ca-key.pem', '-out', f'{folder}/ca.pem',
             '-addext', f'subjectAltName=URI:spiffe://{trust_domain}',
             '-addext', 'keyUsage=critical,keyCertSign,cRLSign'])
        return cls(folder, f'{folder}/ca.pem', f'{folder}/ca-key.pem')

    def leaf(self, name, uris, start='20240101000000Z', end='20991231000000Z', **extensions):
        """Returns (chain file, key file)."""
        folder = f'{self.folder}/{name}'
        os.makedirs(folder)
        open(f'{folder}/index.txt', 'w').close()
        values = {**_GOOD, **extensions, 'subjectAltName': 'critical,' + ','.join(f'URI:{uri}' for uri in uris)}
        with open(f'{folder}/config', 'w') as file:
            file.write(_CONFIG.format(folder=folder, extensions='\n'.join(f'{k} = {v}' for k, v in values.items())))
        run(['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/',
             '-keyout', f'{folder}/key.pem', '-out', f'{folder}/csr.pem'])
        run(['openssl', 'ca', '-batch', '-notext', '-config', f'{folder}/config', '-extensions', 'leaf',
             '-cert', self.ca_certificate, '-keyfile', self.ca_key, '-in', f'{folder}/csr.pem',
             '-startdate', start, '-enddate', end, '-out', f'{folder}/leaf.pem'])
        with open(f'{folder}/chain.pem', 'wb') as chain:
            for part in (f'{folder}/leaf.pem', self.ca_certificate):
                with open(part, 'rb') as file:
                    shutil.copyfileobj(file, chain)
        return f'{folder}/chain.pem', f'{folder}/key.pem'


def call_tunnel(pod, address, chain=None, key=None, port=15008):
    """Opens TLS 1.3 with ALPN h2 to a sidecar's tunnel port, sends an HTTP/2 preface, and returns what openssl saw."""
    argv = ['openssl', 's_client', '-connect', f'{address}:{port}', '-alpn', 'h2', '-tls1_3', '-ign_eof']
    if chain:
        argv += ['-cert', chain, '-cert_chain', chain, '-key', key]
    command = pod.command(argv, uid=0)
    preface = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00'
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        try:
            client.stdin.write(preface)
            client.stdin.flush()
        except BrokenPipeError:
            pass  # refused before it could be sent
        try:
            output, _ = client.communicate(timeout=4)
        except subprocess.TimeoutExpired:
            client.kill()
            output, _ = client.communicate()
            output += b'\n(still open after 4 s)'
    return output.decode(errors='replace')
