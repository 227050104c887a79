#include "doctor/doctor.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdio>

#include "os/cgroup.h"
#include "os/file.h"

namespace ebb::doctor {
namespace {

struct Style {
  const char* word;
  const char* tint;
};

Style style_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk: return {"ok", "\x1b[32m"};
    case Verdict::kWarning: return {"warning", "\x1b[33m"};
    case Verdict::kProblem: break;
  }
  return {"problem", "\x1b[31m"};
}

Verdict worst_of(const std::vector<Finding>& findings) {
  Verdict worst = Verdict::kOk;
  for (const Finding& finding : findings) worst = std::max(worst, finding.verdict);
  return worst;
}

std::size_t count(const std::vector<Finding>& findings, Verdict verdict) {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(), [&](const Finding& one) { return one.verdict == verdict; }));
}

// Words of other programs and files stand in it: nothing of them may move a terminal's cursor.
std::string harmless(std::string text) {
  for (char& letter : text) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) letter = '?';
  }
  return text;
}

}  // namespace

std::string text_of(const std::vector<Finding>& findings, bool colour) {
  constexpr std::size_t kVerdictWidth = 9, kIdWidth = 18;
  const std::string indent(kVerdictWidth + kIdWidth, ' ');
  std::string text;
  const auto padded = [](std::string word, std::size_t width) {
    word.resize(std::max(width, word.size() + 1), ' ');
    return word;
  };
  for (const Finding& finding : findings) {
    const Style style = style_of(finding.verdict);
    const std::string word = padded(style.word, kVerdictWidth);
    text += colour ? style.tint + word + "\x1b[0m" : word;
    text += padded(finding.id, kIdWidth) + harmless(finding.found) + "\n";
    if (!finding.costs.empty()) text += indent + "costs: " + harmless(finding.costs) + "\n";
    if (!finding.remedy.empty()) text += indent + "mend:  " + harmless(finding.remedy) + "\n";
  }
  text += std::to_string(count(findings, Verdict::kProblem)) + " problems, " +
          std::to_string(count(findings, Verdict::kWarning)) + " warnings, " +
          std::to_string(count(findings, Verdict::kOk)) + " ok\n";
  return text;
}

std::string json_of(const std::vector<Finding>& findings) {
  boost::json::array checks;
  for (const Finding& finding : findings) {
    checks.push_back(boost::json::object{{"id", finding.id},
                                         {"verdict", style_of(finding.verdict).word},
                                         {"found", finding.found},
                                         {"costs", finding.costs},
                                         {"remedy", finding.remedy}});
  }
  return boost::json::serialize(
             boost::json::object{{"verdict", style_of(worst_of(findings)).word}, {"checks", std::move(checks)}}) +
         "\n";
}

int exit_status_of(const std::vector<Finding>& findings) { return worst_of(findings) == Verdict::kProblem ? 1 : 0; }

int run_doctor(const Wanted& wanted, bool json, bool colour) {
  const std::vector<Finding> findings = examine(probe_host(wanted), wanted);
  const std::string text = json ? json_of(findings) : text_of(findings, colour);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return exit_status_of(findings);
}

base::Result<> mend(const std::string& name) {
  if (name != "favordynmods") {
    return base::invalid_argument("cannot mend '" + name + "', only favordynmods; the other remedies are commands");
  }
  if (::geteuid() != 0) {
    return base::Error{.code = base::Code::kPermissionDenied,
                       .message = "favordynmods is set for the whole machine: sudo ebb doctor --fix favordynmods"};
  }
  EBB_TRY(const std::string mountinfo, os::read_file("/proc/self/mountinfo"));
  EBB_TRY(const os::CgroupTree cgroups, os::CgroupTree::find("ebb-doctor", mountinfo));
  return cgroups.favour_moves();
}

}  // namespace ebb::doctor
