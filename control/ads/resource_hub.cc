#include "control/ads/resource_hub.h"

#include <algorithm>

namespace countersign::control::ads {

using compile::Compiled;
using compile::Type;

void ResourceHub::SetModel(std::shared_ptr<const registry::Model> model) {
  const absl::Time event = model->changed_at();
  compiler_ = std::make_unique<const compile::Compiler>(std::move(model));
  std::fill(std::begin(names_known_), std::end(names_known_), false);
  common_.clear();
  // Collected first: subscribers change our entries while they are told.
  std::vector<std::pair<Subscriber*, const Key*>> news;
  for (auto& [key, entry] : entries_) {
    std::shared_ptr<const Compiled> now = Compile(key);
    const bool same = (now == nullptr) == (entry.current == nullptr) &&
                      (now == nullptr || now->version == entry.current->version);
    if (same) {
      continue;
    }
    entry.current = std::move(now);
    for (Subscriber* subscriber : entry.subscribers) {
      news.emplace_back(subscriber, &key);
    }
  }
  for (const auto& [subscriber, key] : news) {
    const Key copy = *key;  // node_hash_map: stable unless the subscriber itself drops the entry
    subscriber->OnResourceChanged(copy.type, copy.name, event);
  }
}

ResourceHub::Key ResourceHub::KeyFor(Type type, std::string name, const std::string& proxy) {
  std::string viewer;
  if (compile::Compiler::IsPerProxy(type, name)) {
    viewer = proxy;
  } else if (compile::Compiler::IsPerNamespace(type, name)) {
    viewer = proxy.substr(0, proxy.find('/'));
  }
  return {type, std::move(name), std::move(viewer)};
}

std::shared_ptr<const Compiled> ResourceHub::Compile(const Key& key) {
  if (compiler_ == nullptr) {
    return nullptr;
  }
  if (!compile::Compiler::IsPerNamespace(key.type, key.name)) {
    const registry::Workload* self =
        key.viewer.empty() ? nullptr : compiler_->model().FindWorkload(key.viewer);
    return compiler_->Compile(key.type, key.name, self);
  }
  if (compiler_->DiffersFor(key.viewer, key.name)) {
    return compiler_->Compile(key.type, key.name, nullptr, key.viewer);
  }
  if (auto it = common_.find(key.name); it != common_.end()) {
    return it->second;
  }
  std::shared_ptr<const Compiled> compiled = compiler_->Compile(key.type, key.name, nullptr);
  if (compiled != nullptr) {  // there is no end of names that there are not
    common_[key.name] = compiled;
  }
  return compiled;
}

std::shared_ptr<const Compiled> ResourceHub::Subscribe(const Key& key, Subscriber* subscriber) {
  auto [it, inserted] = entries_.try_emplace(key);
  if (inserted) {
    it->second.current = Compile(key);
  }
  it->second.subscribers.insert(subscriber);
  return it->second.current;
}

void ResourceHub::Unsubscribe(const Key& key, Subscriber* subscriber) {
  auto it = entries_.find(key);
  if (it == entries_.end()) {
    return;
  }
  it->second.subscribers.erase(subscriber);
  if (it->second.subscribers.empty()) {
    entries_.erase(it);
  }
}

std::shared_ptr<const Compiled> ResourceHub::Get(const Key& key) const {
  auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : it->second.current;
}

const std::vector<std::string>& ResourceHub::Names(Type type) {
  const int index = static_cast<int>(type);
  if (!names_known_[index]) {
    names_[index] = compiler_ == nullptr ? std::vector<std::string>() : compiler_->Names(type);
    names_known_[index] = true;
  }
  return names_[index];
}

}  // namespace countersign::control::ads
