#define _GNU_SOURCE
#include "arenas.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

// Of CPython's public API (3.4 and later), though not of its stable ABI: the names and the layout have never changed.
typedef struct {
  void* context;
  void* (*allocate)(void* context, size_t size);
  void (*release)(void* context, void* arena, size_t size);
} ArenaAllocator;
extern void PyObject_GetArenaAllocator(ArenaAllocator* allocator);
extern void PyObject_SetArenaAllocator(ArenaAllocator* allocator);

enum { kArena = 1 << 20, kHugePage = 2 << 20 };
// Address space, not memory; small enough that walking its page map is quick, large enough that seams are rare.
static const size_t kRegion = (size_t)256 << 20;
enum { kRegionsMax = 256 };  // 64 GiB; beyond, arenas come from where they came before

typedef struct Freed {
  struct Freed* next;
} Freed;

static ArenaAllocator before;
static char* regions[kRegionsMax];
static size_t region_count;
static size_t used = (size_t)256 << 20;  // of the newest region; "full" before there is one
static Freed* freed;

static int add_region(void) {
  if (region_count == kRegionsMax) return 0;
  char* mapped =
      mmap(NULL, kRegion + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return 0;
  regions[region_count++] = (char*)(((uintptr_t)mapped + kHugePage - 1) & ~((uintptr_t)kHugePage - 1));
  used = 0;
  return 1;
}

static int is_ours(const char* arena) {
  for (size_t i = 0; i < region_count; ++i) {
    if (arena >= regions[i] && arena < regions[i] + kRegion) return 1;
  }
  return 0;
}

// Under the GIL, as all of Python's allocators of objects.
static void* allocate(void* context, size_t size) {
  (void)context;
  if (size != kArena) return before.allocate(before.context, size);
  if (freed != NULL) {
    void* arena = freed;
    freed = freed->next;
    return arena;
  }
  if (used + size > kRegion && !add_region()) return before.allocate(before.context, size);
  void* arena = regions[region_count - 1] + used;
  used += size;
  return arena;
}

static void release(void* context, void* arena, size_t size) {
  (void)context;
  if (!is_ours(arena)) {
    before.release(before.context, arena, size);
    return;
  }
  madvise(arena, size, MADV_DONTNEED);
  Freed* link = arena;
  link->next = freed;
  freed = link;
}

void ebb_arenas_together(void) {
  if (before.allocate != NULL) return;
  PyObject_GetArenaAllocator(&before);
  ArenaAllocator ours = {.context = NULL, .allocate = allocate, .release = release};
  PyObject_SetArenaAllocator(&ours);
}
