#include "sim/calibration.h"

namespace ebb::sim {

// Made by `./dev bench calibrate` on a quiet machine: 1,600 forks of eight functions (two without imports, four with
// modules of the standard library, two with numpy), 320 forks of runtimes and 320 boots whose zygotes were killed
// before, and 600 starts of three programs that load nothing of a user's (Node, a loop of Python's on the Lambda
// Runtime API, Python's http.server). The memory is from smaps_rollup and from docs/internals/performance.md.
Calibration default_calibration() {
  Calibration calibration;
  calibration.measured_on = "2 vCPU (AMD EPYC, virtual), nothing beside it, Linux 6.18, Debian 12, CPython 3.11";
  calibration.idle_ms = Curve({{0, 0.02}, {0.5, 0.03}, {0.99, 0.3}, {1, 5}});
  calibration.fork_ms = Curve({{0, 2.8},
                               {0.05, 3.55},
                               {0.25, 3.9},
                               {0.5, 4.39},
                               {0.75, 5.19},
                               {0.9, 5.72},
                               {0.95, 6.04},
                               {0.99, 6.75},
                               {1, 8.58}});
  calibration.runtime_ms = Curve({{0, 11.8},
                                  {0.05, 13.1},
                                  {0.25, 15.2},
                                  {0.5, 17.5},
                                  {0.75, 20},
                                  {0.9, 23.3},
                                  {0.95, 24.4},
                                  {0.99, 27.8},
                                  {1, 38.4}});
  calibration.boot_ms = Curve(
      {{0, 92.3}, {0.05, 98.1}, {0.25, 104}, {0.5, 110}, {0.75, 139}, {0.9, 160}, {0.95, 166}, {0.99, 177}, {1, 181}});
  calibration.init_ms = Curve({{0, 1.71},
                               {0.05, 1.91},
                               {0.25, 2.49},
                               {0.5, 10.1},
                               {0.75, 37.3},
                               {0.9, 52.9},
                               {0.95, 68.3},
                               {0.99, 83.8},
                               {1, 96.9}});
  calibration.program_ms = Curve(
      {{0, 47.5}, {0.05, 51}, {0.25, 59.8}, {0.5, 67.9}, {0.75, 84.3}, {0.9, 103}, {0.95, 104}, {0.99, 108}, {1, 118}});
  calibration.runtime_mb = 13.5;
  calibration.instance_mb = 1.8;
  return calibration;
}

}  // namespace ebb::sim
