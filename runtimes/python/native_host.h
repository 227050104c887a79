// What a library is called by: the callbacks of ebb/function.h, told to a Python object.
#pragma once

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <pthread.h>

#include "ebb/function.h"

struct native_host {
  PyObject* answer;  // native.Answer, or NULL where there is none yet
  pthread_t thread;
};

// Whether a callback is refused: it came on another thread than the call, or an earlier one has raised.
int native_refused(const struct native_host* self);

// The callbacks: each is told to the `answer` of a native_host, unless it is refused. Where one raises, the error is
// left set.
int native_tell_begin(void* self, int status, const struct ebb_field* headers, size_t count);
int native_tell_piece(void* self, struct ebb_text data);
int native_tell_whole(void* self, int status, const struct ebb_field* headers, size_t count, struct ebb_text body);
// That it is a second answer: raises.
int native_tell_twice(struct native_host* self);
void native_tell_failed(void* self, struct ebb_text type, struct ebb_text message);

// serve(function, fd, buffer, answer_of, look, app, name, version, memory_bytes) -> int or Answer
//     Serves the calls that come on the channel as long as they are ordinary ones: in one frame that fits the buffer,
//     answered whole by so little that it fits too. Those cost no Python. Returns 0 when the channel has ended; the
//     bytes in `buffer` of a frame that is to be served otherwise; or the answer_of(invocation, head_only) of a call
//     whose handler has returned and has done something else, with what a callback raised in its `raised`. look() is
//     called when a child has ended that nobody waited for. OSError when the daemon has gone.
PyObject* native_serve(PyObject* module, PyObject* args);
