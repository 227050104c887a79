// _native: a shared library of the user's, made with sdk/cpp/include/ebb/function.h, as the Python runtime calls it.
//
// load(path) -> (function, abi)
//     Loads the library, without running init. OSError with the loader's words; LookupError without the entry.
// init(function, answer), started(function, answer)
//     Run the hook; answer.failed(type, message) is called when it throws.
// call(function, answer, is_http, method, path, query, headers, body, request_id, app, name, version, deadline_ms,
// memory_bytes)
//     Runs the handler, which calls answer.begin(status, headers), .piece(bytes), .whole(status, headers, body) and
//     .failed(type, message). What one of these raises is raised when the handler has returned, and ends the others.
//     `headers` is a list of pairs of str.
// serve(...)
//     Calls without Python: native_host.h.
// Callbacks of another thread than the one that called are refused: Python's state is not for them.
#include <dlfcn.h>

#include "native_host.h"
#include "native_request.h"

int native_refused(const struct native_host* self) {
  return !pthread_equal(self->thread, pthread_self()) || PyErr_Occurred() != NULL;
}

static PyObject* bytes_of(struct ebb_text text) {
  if (text.size > PY_SSIZE_T_MAX) return PyErr_NoMemory();
  return PyBytes_FromStringAndSize(text.size == 0 ? "" : text.data, (Py_ssize_t)text.size);
}

static PyObject* pair_of(const struct ebb_field* field) {
  PyObject* name = bytes_of(field->name);
  PyObject* value = name != NULL ? bytes_of(field->value) : NULL;
  PyObject* pair = value != NULL ? PyTuple_Pack(2, name, value) : NULL;
  Py_XDECREF(name);
  Py_XDECREF(value);
  return pair;
}

static PyObject* list_of(const struct ebb_field* headers, size_t count) {
  if (count > kNativeHeadersMax) {
    PyErr_SetString(PyExc_ValueError, "more than 1024 headers in the result");
    return NULL;
  }
  PyObject* list = PyList_New(0);
  for (size_t i = 0; list != NULL && i < count; ++i) {
    PyObject* pair = pair_of(&headers[i]);
    if (pair == NULL || PyList_Append(list, pair) != 0) Py_CLEAR(list);
    Py_XDECREF(pair);
  }
  return list;
}

// 0 when the method returned something false. Takes the argument over; NULL with an error set is one.
static int told(struct native_host* self, const char* method, PyObject* arguments) {
  if (arguments == NULL) return -1;
  PyObject* bound = PyObject_GetAttrString(self->answer, method);
  PyObject* result = bound != NULL ? PyObject_Call(bound, arguments, NULL) : NULL;
  Py_XDECREF(bound);
  Py_DECREF(arguments);
  if (result == NULL) return -1;
  const int said = PyObject_IsTrue(result);
  Py_DECREF(result);
  return said;
}

int native_tell_begin(void* self, int status, const struct ebb_field* headers, size_t count) {
  if (native_refused(self)) return -1;
  PyObject* list = list_of(headers, count);
  return list == NULL ? -1 : told(self, "begin", Py_BuildValue("(iN)", status, list));
}

int native_tell_piece(void* self, struct ebb_text data) {
  if (native_refused(self)) return -1;
  PyObject* bytes = bytes_of(data);
  return bytes == NULL ? -1 : told(self, "piece", Py_BuildValue("(N)", bytes));
}

int native_tell_whole(void* self, int status, const struct ebb_field* headers, size_t count, struct ebb_text body) {
  if (native_refused(self)) return -1;
  PyObject* list = list_of(headers, count);
  PyObject* bytes = list != NULL ? bytes_of(body) : NULL;
  if (bytes == NULL) {
    Py_XDECREF(list);
    return -1;
  }
  return told(self, "whole", Py_BuildValue("(iNN)", status, list, bytes));
}

int native_tell_twice(struct native_host* self) { return told(self, "twice", PyTuple_New(0)); }

void native_tell_failed(void* self, struct ebb_text type, struct ebb_text message) {
  if (native_refused(self)) return;
  PyObject* kind = bytes_of(type);
  PyObject* text = kind != NULL ? bytes_of(message) : NULL;
  if (text == NULL) {
    Py_XDECREF(kind);
    return;
  }
  (void)told(self, "failed", Py_BuildValue("(NN)", kind, text));
}

static struct ebb_host host_of(struct native_host* self) {
  return (struct ebb_host){.self = self,
                           .begin = native_tell_begin,
                           .piece = native_tell_piece,
                           .whole = native_tell_whole,
                           .failed = native_tell_failed};
}

static PyObject* load(PyObject* module, PyObject* args) {
  (void)module;
  const char* path = NULL;
  if (!PyArg_ParseTuple(args, "s", &path)) return NULL;
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    const char* why = dlerror();
    PyErr_SetString(PyExc_OSError, why != NULL ? why : "it cannot be loaded");
    return NULL;
  }
  ebb_function_entry entry = NULL;
  *(void**)&entry = dlsym(library, EBB_FUNCTION_SYMBOL);
  const struct ebb_function* function = entry != NULL ? entry() : NULL;
  if (function == NULL) {
    PyErr_SetString(PyExc_LookupError, EBB_FUNCTION_SYMBOL);
    return NULL;
  }
  return Py_BuildValue("(NI)", PyLong_FromVoidPtr((void*)(uintptr_t)function), (unsigned)function->abi);
}

static const struct ebb_function* function_of(PyObject* number) { return PyLong_AsVoidPtr(number); }

static PyObject* run_hook(PyObject* args, int is_init) {
  PyObject* number = NULL;
  struct native_host self = {.answer = NULL, .thread = pthread_self()};
  if (!PyArg_ParseTuple(args, "OO", &number, &self.answer)) return NULL;
  const struct ebb_function* function = function_of(number);
  if (function == NULL) return NULL;
  const struct ebb_host host = host_of(&self);
  if (is_init) {
    function->init(&host);
  } else {
    function->started(&host);
  }
  if (PyErr_Occurred()) return NULL;
  Py_RETURN_NONE;
}

static PyObject* init(PyObject* module, PyObject* args) {
  (void)module;
  return run_hook(args, 1);
}

static PyObject* started(PyObject* module, PyObject* args) {
  (void)module;
  return run_hook(args, 0);
}

static int text_of(PyObject* str, struct ebb_text* out) {
  Py_ssize_t size = 0;
  out->data = PyUnicode_AsUTF8AndSize(str, &size);
  out->size = (size_t)size;
  return out->data != NULL ? 0 : -1;
}

// The number of headers, or -1. They point into the list, which the caller holds.
static Py_ssize_t read_headers(PyObject* list, struct ebb_field* out) {
  const Py_ssize_t count = PyList_Size(list);
  if (count > kNativeHeadersMax) PyErr_SetString(PyExc_ValueError, "more than 1024 headers in the request");
  if (count < 0 || count > kNativeHeadersMax) return -1;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* pair = PyList_GetItem(list, i);
    PyObject* name = pair != NULL ? PyTuple_GetItem(pair, 0) : NULL;
    PyObject* value = name != NULL ? PyTuple_GetItem(pair, 1) : NULL;
    if (value == NULL || text_of(name, &out[i].name) != 0 || text_of(value, &out[i].value) != 0) return -1;
  }
  return count;
}

static PyObject* call(PyObject* module, PyObject* args) {
  (void)module;
  static struct ebb_field headers[kNativeHeadersMax];  // an instance runs one call at a time
  PyObject *number = NULL, *list = NULL;
  struct native_host self = {.answer = NULL, .thread = pthread_self()};
  const char* text[8] = {0};
  Py_ssize_t size[8] = {0};
  int is_http = 0;
  long long deadline_ms = 0;
  unsigned long long memory_bytes = 0;
  if (!PyArg_ParseTuple(args, "OOps#y#s#Oy#s#s#s#s#LK", &number, &self.answer, &is_http, &text[0], &size[0], &text[1],
                        &size[1], &text[2], &size[2], &list, &text[3], &size[3], &text[4], &size[4], &text[5], &size[5],
                        &text[6], &size[6], &text[7], &size[7], &deadline_ms, &memory_bytes)) {
    return NULL;
  }
  const struct ebb_function* function = function_of(number);
  const Py_ssize_t count = function != NULL ? read_headers(list, headers) : -1;
  if (count < 0) return NULL;
  struct ebb_text texts[8];
  for (int i = 0; i < 8; ++i) texts[i] = (struct ebb_text){text[i], (size_t)size[i]};
  const struct ebb_call given = {.host = host_of(&self),
                                 .is_http = is_http,
                                 .method = texts[0],
                                 .path = texts[1],
                                 .query = texts[2],
                                 .headers = headers,
                                 .header_count = (size_t)count,
                                 .body = texts[3],
                                 .request_id = texts[4],
                                 .app = texts[5],
                                 .function = texts[6],
                                 .version = texts[7],
                                 .deadline_ms = deadline_ms,
                                 .memory_bytes = memory_bytes};
  function->call(&given);
  if (PyErr_Occurred()) return NULL;
  Py_RETURN_NONE;
}

static PyMethodDef kMethods[] = {
    {"load", load, METH_VARARGS, NULL},          {"init", init, METH_VARARGS, NULL},
    {"started", started, METH_VARARGS, NULL},    {"call", call, METH_VARARGS, NULL},
    {"serve", native_serve, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL},
};

static struct PyModuleDef kModule = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_native", .m_doc = NULL, .m_size = -1, .m_methods = kMethods};

PyMODINIT_FUNC PyInit__native(void) { return PyModule_Create(&kModule); }
