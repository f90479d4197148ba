/* A V4L2 camera in memory, for tests: preloaded (LD_PRELOAD), it answers for one path.
 *
 * FAKE_CAMERA          the path; an empty file, so that it exists and may be opened
 * FAKE_CAMERA_FORMATS  what it offers, in this order: "YUYV" or "YUYV,MJPG"
 * FAKE_CAMERA_FRAMES   a folder: the bytes of every frame of a format lie in a file of its name
 * FAKE_CAMERA_SIZE     "640x480": the only size it has
 * FAKE_CAMERA_FPS      the only rate it has, and delivers at
 *
 * Like a driver, it answers a format it does not have with one that it has.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 1024, BUFFERS = 4, ROOM = 4 << 20, NS = 1000000000 };

static int memory[DESCRIPTORS]; /* 1 where the descriptor is ours */
static unsigned width = 640, height = 480, rate = 30, format;
static unsigned waiting[BUFFERS], waiting_count, sequence;
static struct timespec due;

static const char *setting(const char *name) {
  const char *value = getenv(name);
  return value ? value : "";
}

static unsigned offered(unsigned index) { /* 0: there is no such */
  const char *list = setting("FAKE_CAMERA_FORMATS");
  if (strlen(list) < 5 * index + 4) return 0;
  list += 5 * index;
  return v4l2_fourcc(list[0], list[1], list[2], list[3]);
}

static size_t read_frame(void *room) {
  char path[512];
  snprintf(path, sizeof path, "%s/%.4s", setting("FAKE_CAMERA_FRAMES"), (char *)&format);
  FILE *file = fopen(path, "rb");
  if (!file) return 0;
  size_t size = fread(room, 1, ROOM, file);
  fclose(file);
  return size;
}

static unsigned bytes_per_line(void) {
  switch (format) {
    case V4L2_PIX_FMT_YUYV:
    case V4L2_PIX_FMT_UYVY: return 2 * width;
    case V4L2_PIX_FMT_BGR24:
    case V4L2_PIX_FMT_RGB24: return 3 * width;
    case V4L2_PIX_FMT_MJPEG: return 0;
    default: return width;
  }
}

static unsigned frame_bytes(void) {
  switch (format) {
    case V4L2_PIX_FMT_MJPEG: return 2 * width * height;
    case V4L2_PIX_FMT_NV12:
    case V4L2_PIX_FMT_YUV420:
    case V4L2_PIX_FMT_YVU420: return width * height * 3 / 2;
    default: return bytes_per_line() * height;
  }
}

static int refuse(int reason) {
  errno = reason;
  return -1;
}

static int set_format(struct v4l2_format *wanted) {
  format = offered(0);
  for (unsigned index = 0, one; (one = offered(index)); ++index)
    if (one == wanted->fmt.pix.pixelformat) format = one;
  wanted->fmt.pix = (struct v4l2_pix_format){
      .width = width, .height = height, .pixelformat = format, .field = V4L2_FIELD_NONE,
      .bytesperline = bytes_per_line(), .sizeimage = frame_bytes(),
      .colorspace = V4L2_COLORSPACE_SRGB};
  return 0;
}

static int dequeue(struct v4l2_buffer *buffer, int descriptor) {
  if (!waiting_count) return refuse(EAGAIN);
  due.tv_nsec += NS / rate;
  if (due.tv_nsec >= NS) due.tv_nsec -= NS, ++due.tv_sec;
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  unsigned index = waiting[0];
  memmove(waiting, waiting + 1, --waiting_count * sizeof *waiting);
  void *room = mmap(NULL, ROOM, PROT_WRITE, MAP_SHARED, descriptor, (off_t)index * ROOM);
  if (room == MAP_FAILED) return refuse(EIO);
  buffer->bytesused = (unsigned)read_frame(room);
  munmap(room, ROOM);
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  buffer->index = index;
  buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_DONE;
  buffer->field = V4L2_FIELD_NONE;
  buffer->timestamp.tv_sec = now.tv_sec;
  buffer->timestamp.tv_usec = now.tv_nsec / 1000;
  buffer->sequence = sequence++;
  buffer->length = ROOM;
  return 0;
}

static int answer(int descriptor, unsigned long request, void *data) {
  switch (request) {
    case VIDIOC_QUERYCAP: {
      struct v4l2_capability *found = data;
      memset(found, 0, sizeof *found);
      strcpy((char *)found->driver, "fake");
      strcpy((char *)found->card, "Camera of the tests");
      found->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
      found->device_caps = found->capabilities;
      return 0;
    }
    case VIDIOC_ENUMINPUT: {
      struct v4l2_input *input = data;
      if (input->index) return refuse(EINVAL);
      input->type = V4L2_INPUT_TYPE_CAMERA;
      return 0;
    }
    case VIDIOC_G_INPUT: *(int *)data = 0; return 0;
    case VIDIOC_S_INPUT: return 0;
    case VIDIOC_ENUM_FMT: {
      struct v4l2_fmtdesc *found = data;
      found->pixelformat = offered(found->index);
      return found->pixelformat ? 0 : refuse(EINVAL);
    }
    case VIDIOC_G_FMT:
      ((struct v4l2_format *)data)->fmt.pix.pixelformat = format;
      return set_format(data);
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT: return set_format(data);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
      struct v4l2_captureparm *found = &((struct v4l2_streamparm *)data)->parm.capture;
      found->capability = V4L2_CAP_TIMEPERFRAME;
      found->timeperframe = (struct v4l2_fract){1, rate};
      return 0;
    }
    case VIDIOC_REQBUFS: {
      struct v4l2_requestbuffers *wanted = data;
      if (wanted->count > BUFFERS) wanted->count = BUFFERS;
      waiting_count = 0;
      return 0;
    }
    case VIDIOC_QUERYBUF: {
      struct v4l2_buffer *buffer = data;
      buffer->length = ROOM;
      buffer->m.offset = buffer->index * ROOM;
      return 0;
    }
    case VIDIOC_QBUF: waiting[waiting_count++] = ((struct v4l2_buffer *)data)->index; return 0;
    case VIDIOC_DQBUF: return dequeue(data, descriptor);
    case VIDIOC_STREAMON: clock_gettime(CLOCK_MONOTONIC, &due); return 0;
    case VIDIOC_STREAMOFF: waiting_count = 0; return 0;
    default: return refuse(EINVAL);
  }
}

static int plug_in(void) {
  sscanf(setting("FAKE_CAMERA_SIZE"), "%ux%u", &width, &height);
  sscanf(setting("FAKE_CAMERA_FPS"), "%u", &rate);
  format = offered(0);
  int descriptor = memfd_create("camera", MFD_CLOEXEC);
  if (descriptor < 0 || descriptor >= DESCRIPTORS) return refuse(ENOMEM);
  if (ftruncate(descriptor, (off_t)BUFFERS * ROOM)) return refuse(ENOMEM);
  memory[descriptor] = 1;
  return descriptor;
}

static mode_t mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

static int open_by(const char *name, const char *path, int flags, mode_t mode) {
  if (*path && strcmp(path, setting("FAKE_CAMERA")) == 0) return plug_in();
  int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
  return next(path, flags, mode);
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

int close(int descriptor) {
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "close");
  if (descriptor >= 0 && descriptor < DESCRIPTORS) memory[descriptor] = 0;
  return next(descriptor);
}

int ioctl(int descriptor, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void *data = va_arg(arguments, void *);
  va_end(arguments);
  if (descriptor >= 0 && descriptor < DESCRIPTORS && memory[descriptor])
    return answer(descriptor, request & 0xffffffffUL, data);
  int (*next)(int, unsigned long, ...) =
      (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
  return next(descriptor, request, data);
}
