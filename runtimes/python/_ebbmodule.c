// _ebb: what the Python runtime needs from C. Built against the stable ABI (3.11 and later).
//
// fork_function(control, out, err, tree) -> pid
// fork_instance(control, channel, out, err, tree, own_network, inherit_tmp, keep) -> pid
//     Fork with walls: in the parent the child's pid, or a negative errno when no child was made; 0 in the child, with
//     its walls up, its descriptors placed (instance_walls.h) and the launcher's go received. Closes the given
//     descriptors in the parent. A child whose walls fail never returns.
// survey()
//     Finds out once what an instance has to mask; before the first fork.
// confine()
//     The last walls of an instance that nobody forked: Landlock, and the filter that instances have.
// settle() -> pid
//     Flushes C's output streams; the pid of a child that has ended and was not waited for, 0 when there is none.
// read_bytes(fd, prefix, size) -> bytes
//     `size` bytes that begin with `prefix` and go on with what fd delivers: a large body, in place, without a second
//     copy. EOFError when the stream ends before.
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../native/ebb_fork.h"
#include "../native/instance_walls.h"
#include "../native/landlock.h"
#include "../native/seccomp_delta.h"
#include "../native/settle.h"
#include "arenas.h"

enum { kKeepMax = 1024 };

static void close_all(const struct ebb_birth* birth) {
  const int fds[] = {birth->control, birth->channel, birth->out, birth->err, birth->tree};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; ++i) {
    if (fds[i] >= 0) close(fds[i]);
  }
}

// Python's own preparations lie outside those of C, as in os.fork().
static PyObject* fork_with_walls(enum ebb_fork_kind kind, const struct ebb_birth* birth) {
  PyOS_BeforeFork();
  const pid_t pid = ebb_fork(kind);
  if (pid == 0) {
    if (kind == kEbbForkFunction) {
      ebb_walls_function(birth);
    } else {
      ebb_walls_instance(birth);
    }
    ebb_fork_child();
    PyOS_AfterFork_Child();
    return PyLong_FromLong(0);
  }
  const int fork_errno = errno;
  PyOS_AfterFork_Parent();
  close_all(birth);
  return PyLong_FromLong(pid > 0 ? (long)pid : -(long)fork_errno);
}

static PyObject* fork_function(PyObject* module, PyObject* args) {
  (void)module;
  static unsigned made;
  struct ebb_birth birth = {.channel = -1, .turn = made++};
  if (!PyArg_ParseTuple(args, "iiii", &birth.control, &birth.out, &birth.err, &birth.tree)) return NULL;
  return fork_with_walls(kEbbForkFunction, &birth);
}

static PyObject* fork_instance(PyObject* module, PyObject* args) {
  (void)module;
  struct ebb_birth birth = {0};
  PyObject* keep = NULL;
  static int kept[kKeepMax];
  if (!PyArg_ParseTuple(args, "iiiiippO", &birth.control, &birth.channel, &birth.out, &birth.err, &birth.tree,
                        &birth.own_network, &birth.inherit_tmp, &keep)) {
    return NULL;
  }
  const Py_ssize_t count = PyTuple_Check(keep) ? PyTuple_Size(keep) : -1;
  if (count < 0 || count > kKeepMax) {
    PyErr_SetString(PyExc_ValueError, "keep is not a tuple of at most 1024 descriptors");
    return NULL;
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    const long fd = PyLong_AsLong(PyTuple_GetItem(keep, i));
    if (PyErr_Occurred()) return NULL;
    if (fd <= (i == 0 ? 3 : kept[i - 1]) || fd > 1 << 24) {
      PyErr_SetString(PyExc_ValueError, "keep is not in rising order above 3");
      return NULL;
    }
    kept[i] = (int)fd;
  }
  birth.keep = kept;
  birth.keep_count = (size_t)count;
  return fork_with_walls(birth.own_network ? kEbbForkInstanceOwnNetwork : kEbbForkInstance, &birth);
}

static PyObject* survey(PyObject* module, PyObject* unused) {
  (void)module;
  (void)unused;
  ebb_walls_survey();
  Py_RETURN_NONE;
}

static PyObject* confine(PyObject* module, PyObject* unused) {
  (void)module;
  (void)unused;
  const char* what = NULL;
  if (ebb_landlock_instance(&what) != 0) return PyErr_SetFromErrnoWithFilename(PyExc_OSError, what);
  if (ebb_seccomp_delta() != 0) return PyErr_SetFromErrnoWithFilename(PyExc_OSError, "load the system-call filter");
  Py_RETURN_NONE;
}

static PyObject* settle(PyObject* module, PyObject* unused) {
  (void)module;
  (void)unused;
  return PyLong_FromLong((long)ebb_settle());
}

static PyObject* read_bytes(PyObject* module, PyObject* args) {
  (void)module;
  int fd = 0;
  Py_buffer prefix;
  Py_ssize_t size = 0;
  if (!PyArg_ParseTuple(args, "iy*n", &fd, &prefix, &size)) return NULL;
  PyObject* result = NULL;
  if (size < prefix.len) {
    PyErr_SetString(PyExc_ValueError, "size is less than the prefix's");
  } else {
    result = PyBytes_FromStringAndSize(NULL, size);
  }
  Py_ssize_t have = prefix.len;
  if (result != NULL && have > 0) memcpy(PyBytes_AsString(result), prefix.buf, (size_t)have);
  PyBuffer_Release(&prefix);
  if (result == NULL) return NULL;
  char* data = PyBytes_AsString(result);
  while (have < size) {
    ssize_t got;
    Py_BEGIN_ALLOW_THREADS got = recv(fd, data + have, (size_t)(size - have), MSG_WAITALL);
    Py_END_ALLOW_THREADS if (got > 0) {
      have += got;
      continue;
    }
    if (got < 0 && errno == EINTR && PyErr_CheckSignals() == 0) continue;
    if (got == 0) {
      PyErr_SetString(PyExc_EOFError, "the stream ended inside a body");
    } else if (!PyErr_Occurred()) {
      PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_DECREF(result);
    return NULL;
  }
  return result;
}

static PyMethodDef kMethods[] = {
    {"fork_function", fork_function, METH_VARARGS, NULL},
    {"fork_instance", fork_instance, METH_VARARGS, NULL},
    {"survey", survey, METH_NOARGS, NULL},
    {"confine", confine, METH_NOARGS, NULL},
    {"settle", settle, METH_NOARGS, NULL},
    {"read_bytes", read_bytes, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef kModule = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_ebb", .m_doc = NULL, .m_size = -1, .m_methods = kMethods};

PyMODINIT_FUNC PyInit__ebb(void) {
  ebb_fork_init();
  ebb_arenas_together();
  return PyModule_Create(&kModule);
}
