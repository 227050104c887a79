// libebb_atfork.so, preloaded into a runtime zygote: remembers what is given to pthread_atfork().
//
// A raw clone() runs no such handlers, and glibc has no way to ask for its list. So registration is interposed:
// recorded here and passed on, so that the user's own fork() keeps working as ever. A library that is unloaded takes
// its handlers with it (__cxa_finalize with its handle), as in glibc.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

typedef void (*handler_fn)(void);

struct record {
  handler_fn prepare;
  handler_fn parent;
  handler_fn child;
  void* library;
};

// A process loads a dozen libraries with handlers; a full table refuses as a full heap would.
enum { kRecords = 256 };
static struct record records[kRecords];
static size_t record_count;
static pthread_mutex_t records_mutex = PTHREAD_MUTEX_INITIALIZER;

int __register_atfork(handler_fn prepare, handler_fn parent, handler_fn child, void* library);
void __cxa_finalize(void* library);
void ebb_atfork_prepare(void);
void ebb_atfork_parent(void);
void ebb_atfork_child(void);

int __register_atfork(handler_fn prepare, handler_fn parent, handler_fn child, void* library) {
  static int (*next)(handler_fn, handler_fn, handler_fn, void*);
  pthread_mutex_lock(&records_mutex);
  if (next == NULL) *(void**)&next = dlsym(RTLD_NEXT, "__register_atfork");
  int rc = ENOMEM;
  if (next != NULL && record_count < kRecords) rc = next(prepare, parent, child, library);
  if (rc == 0) records[record_count++] = (struct record){prepare, parent, child, library};
  pthread_mutex_unlock(&records_mutex);
  return rc;
}

void __cxa_finalize(void* library) {
  static void (*next)(void*);
  if (next == NULL) *(void**)&next = dlsym(RTLD_NEXT, "__cxa_finalize");
  if (library != NULL) {
    pthread_mutex_lock(&records_mutex);
    size_t kept = 0;
    for (size_t i = 0; i < record_count; ++i) {
      if (records[i].library != library) records[kept++] = records[i];
    }
    record_count = kept;
    pthread_mutex_unlock(&records_mutex);
  }
  if (next != NULL) next(library);
}

// Newest first before the fork, oldest first after it: locks are released in the reverse order of their taking. The
// zygote has one thread, so the table cannot change between prepare and the other two.
void ebb_atfork_prepare(void) {
  for (size_t i = record_count; i > 0; --i) {
    if (records[i - 1].prepare != NULL) records[i - 1].prepare();
  }
}

void ebb_atfork_parent(void) {
  for (size_t i = 0; i < record_count; ++i) {
    if (records[i].parent != NULL) records[i].parent();
  }
}

void ebb_atfork_child(void) {
  for (size_t i = 0; i < record_count; ++i) {
    if (records[i].child != NULL) records[i].child();
  }
}
