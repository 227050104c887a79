// The launcher's view of the data directory: layers and packages by content key, and where builds put their output.
//
//   launcher.lock  held for the launcher's life: one launcher per data directory
//   layers/        root's; readable by all; a layer never changes once it has its name
//   packages/      the daemon's, which unpacks uploads there; the launcher follows no link in it
//   build/         root's alone; output of running builds and trees being removed; emptied at every start
// The directory itself belongs to the daemon, so nothing is ever looked up by path again: the open descriptors count.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "launcher/tree.h"
#include "os/fd.h"
#include "wire/launcher_protocol.h"

namespace ebb::launcher {

class DataDirectory {
 public:
  /// Makes what is missing and takes the lock. Errors: kConflict when another launcher has it.
  static base::Result<DataDirectory> open(const std::string& path, TreeOwner daemon);

  /// Removes what a former run left in build/.
  base::Result<> sweep() const;

  /// The directory of a layer or package. Errors: kNotFound, with the key.
  base::Result<os::Fd> open_content(wire::TreeKind kind, const std::string& key) const;
  bool has_content(wire::TreeKind kind, const std::string& key) const;

  /// An empty directory build/<name>, owned by `owner`.
  base::Result<os::Fd> make_output(const std::string& name, TreeOwner owner) const;
  /// Seals build/<name> and gives it its final name. Content that exists already is kept: the key says it is the same.
  base::Result<> publish(const std::string& name, wire::TreeKind kind, const std::string& key) const;
  base::Result<> remove_output(const std::string& name) const;
  /// Takes the name away at once, by moving the tree to build/<trash>. Errors: kNotFound.
  base::Result<> discard(wire::TreeKind kind, const std::string& key, const std::string& trash) const;

  /// The same for every spelling of the same directory: names everything this owner leaves in the system.
  const std::string& owner_tag() const { return owner_tag_; }

 private:
  const os::Fd& directory_of(wire::TreeKind kind) const { return kind == wire::TreeKind::kLayer ? layers_ : packages_; }

  os::Fd lock_;
  os::Fd layers_;
  os::Fd packages_;
  os::Fd build_;
  TreeOwner daemon_;
  std::string owner_tag_;
};

}  // namespace ebb::launcher
