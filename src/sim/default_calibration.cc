#include "sim/calibration.h"

namespace ebb::sim {

// Made by `ebb sim calibrate` from a node with eight functions (two without imports, four with modules of the standard
// library, two with numpy) whose zygotes and runtimes were killed in turn, on a machine whose two cores compiled beside
// it (load 8): on a quiet one forks and boots take about half as long. program_ms is from three programs that load
// nothing of a user's (Node, a loop of Python's on the Lambda Runtime API, Python's http.server), 150 cold starts each
// with a build beside them, on two cores of an AMD EPYC. The memory is from smaps_rollup and from
// docs/internals/performance.md.
Calibration default_calibration() {
  Calibration calibration;
  calibration.measured_on = "2 vCPU (Intel Xeon, virtual) at load 8, Linux 6.18, Debian 12, CPython 3.11";
  calibration.idle_ms = Curve({{0, 0.02}, {0.5, 0.03}, {0.99, 0.3}, {1, 5}});
  calibration.fork_ms = Curve({{0, 3.44},
                               {0.05, 3.70},
                               {0.25, 4.97},
                               {0.5, 8.82},
                               {0.75, 12.0},
                               {0.9, 19.7},
                               {0.95, 27.9},
                               {0.99, 52.6},
                               {1, 79.8}});
  calibration.runtime_ms = Curve({{0, 23.2},
                                  {0.05, 24.9},
                                  {0.25, 33.8},
                                  {0.5, 39.7},
                                  {0.75, 48.2},
                                  {0.9, 54.1},
                                  {0.95, 57.7},
                                  {0.99, 66.8},
                                  {1, 87.3}});
  calibration.boot_ms = Curve(
      {{0, 244}, {0.05, 323}, {0.25, 426}, {0.5, 478}, {0.75, 523}, {0.9, 573}, {0.95, 613}, {0.99, 630}, {1, 642}});
  calibration.init_ms = Curve(
      {{0, 1.85}, {0.05, 2.1}, {0.25, 13.4}, {0.5, 86}, {0.75, 182}, {0.9, 251}, {0.95, 271}, {0.99, 310}, {1, 312}});
  calibration.program_ms = Curve({{0, 33.2},
                                  {0.05, 56.1},
                                  {0.25, 73.8},
                                  {0.5, 90.0},
                                  {0.75, 112},
                                  {0.9, 140},
                                  {0.95, 166},
                                  {0.99, 195},
                                  {1, 215}});
  calibration.runtime_mb = 13.5;
  calibration.instance_mb = 1.8;
  return calibration;
}

}  // namespace ebb::sim
