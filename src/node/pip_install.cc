#include "node/pip_install.h"

#include <iterator>
#include <utility>

namespace ebb::node {

std::vector<std::string> pip_install(const std::string& python, std::vector<std::string> arguments,
                                     std::string_view first) {
  // $0 is Python. It compiles from where no installed module stands before its own. Packages have files that do not
  // compile, for other versions; compileall takes one that cannot be written, on a full disk, for such a one.
  constexpr std::string_view kInstall =
      R"("$0" -m pip install --progress-bar off --no-compile --target /ebb/out "$@" || exit
cd / && PYTHONHASHSEED=0 "$0" -W ignore -c '
import compileall, py_compile
compile_one = py_compile.compile
def compile_or_end(file, *rest, **named):
    try:
        return compile_one(file, *rest, **named)
    except OSError as error:
        raise SystemExit(f"cannot compile {file}: {error}")
py_compile.compile = compile_or_end
compileall.compile_dir("/ebb/out", force=True, quiet=2, stripdir="/ebb/out", prependdir="/ebb/layer",
                       invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
')";
  std::vector<std::string> argv = {"/bin/sh", "-c", std::string(first) + std::string(kInstall), python};
  argv.insert(argv.end(), std::make_move_iterator(arguments.begin()), std::make_move_iterator(arguments.end()));
  return argv;
}

}  // namespace ebb::node
