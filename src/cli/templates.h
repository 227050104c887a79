// The templates of `ebb init`: which there are, and their files, which are folders of examples/ as they were when this
// program was built (tools/embed_templates.py). Called by init.cc.
#pragma once

#include <span>
#include <string_view>

namespace ebb::cli {

struct TemplateFile {
  std::string_view example;  // the folder of examples/
  std::string_view path;     // in that folder
  bool executable = false;
  std::string_view content;
};

/// What `ebb init NAME` makes, and what is to be done with it then.
struct Template {
  std::string_view name;
  std::string_view example;  // the folder of examples/
  std::string_view about;
  std::span<const std::string_view> before;  // commands in the new folder that a deployment needs done
  std::string_view call;  // curl's arguments before the URL, and behind the app's name: "-s|/hello?name=Ada"
  std::string_view page;  // of docs/tasks
};

/// All files of all templates, those of one beside one another.
std::span<const TemplateFile> template_files();
std::span<const Template> templates();

}  // namespace ebb::cli
