/* Lets libcamera's virtual camera run on kernels without dma-buf providers: for tests only.
 *
 * Preloaded (LD_PRELOAD). Opening /dev/udmabuf or a dma heap gives /dev/null; what would make a
 * dma-buf gives a memfd instead, which maps just as well. Everything else passes through.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_provider(const char *path) {
  return strcmp(path, "/dev/udmabuf") == 0 || strncmp(path, "/dev/dma_heap/", 14) == 0;
}

static int open_by(const char *name, const char *path, int flags, mode_t mode) {
  int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
  if (is_provider(path)) return next("/dev/null", O_RDWR | O_CLOEXEC);
  return next(path, flags, mode);
}

static mode_t mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_by("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_by("open64", path, flags, mode);
}

int __open_2(const char *path, int flags) { return open_by("open", path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_by("open64", path, flags, 0); }

int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  switch ((unsigned)request) {
    case (unsigned)UDMABUF_CREATE:
      return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 3);
    case (unsigned)DMA_HEAP_IOCTL_ALLOC: {
      struct dma_heap_allocation_data *wanted = argument;
      int made = memfd_create("heap", MFD_CLOEXEC);
      if (made < 0 || ftruncate(made, (off_t)wanted->len) < 0) return -1;
      wanted->fd = (unsigned)made;
      return 0;
    }
    case (unsigned)DMA_BUF_SET_NAME_A:
    case (unsigned)DMA_BUF_SET_NAME_B:
    case (unsigned)DMA_BUF_IOCTL_SYNC:
      return 0;
    default: {
      int (*next)(int, unsigned long, ...) =
          (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
      return next(fd, request, argument);
    }
  }
}
