#include "node/pip_install.h"

#include <iterator>
#include <utility>

namespace ebb::node {

std::vector<std::string> pip_install(const std::string& python, std::vector<std::string> arguments,
                                     std::string_view first) {
  // $0 is Python. It compiles from where no installed module stands before its own; 1 is a file that does not compile,
  // which packages have, for other versions.
  constexpr std::string_view kInstall =
      R"("$0" -m pip install --progress-bar off --no-compile --target /ebb/out "$@" || exit
cd / && PYTHONHASHSEED=0 "$0" -W ignore -m compileall -qq -f --invalidation-mode unchecked-hash -s /ebb/out -p /ebb/layer /ebb/out
[ $? -le 1 ])";
  std::vector<std::string> argv = {"/bin/sh", "-c", std::string(first) + std::string(kInstall), python};
  argv.insert(argv.end(), std::make_move_iterator(arguments.begin()), std::make_move_iterator(arguments.end()));
  return argv;
}

}  // namespace ebb::node
