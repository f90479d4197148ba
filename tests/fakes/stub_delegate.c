/* A TensorFlow Lite external delegate that stands in for libedgetpu and other vendors' delegates.
 *
 * It claims one kind of operator and fills its outputs by itself; environment variables make it
 * misbehave. Only the fields that are used are declared; sizes and offsets follow
 * tflite/core/c/common.h of LiteRT 2.3 on 64-bit Linux. With -DOLD_REGISTRATION the operator is
 * registered with the 64-byte structure of TensorFlow 2.5, as Google's libedgetpu of 2021 does.
 *
 *   STUB_OPERATOR       name of the custom operator to claim (edgetpu-custom-op by default)
 *   STUB_BUILTIN        codes of the builtin operators to claim instead, e.g. 3,4 for CONV_2D and
 *                       DEPTHWISE_CONV_2D; as Mesa's Teflon (tfl_device.c, rkt_ml.c:
 *                       tensor_quantization_supported) it leaves those with a tensor that has no
 *                       scale or a scale for each channel
 *   STUB_ANY_SCALES     claims those too, as a delegate without that limit would
 *   STUB_NO_DEVICE      no delegate can be made: absent, not permitted or in use
 *   STUB_FAIL_PREPARE   the operator cannot be prepared
 *   STUB_ABORT          abort() in an inference, as libedgetpu does on a USB error
 *   STUB_SLOW_MS        an inference takes so long
 *   STUB_SCORE          anchor:column:value written into the second output (uint8)
 *   STUB_UNPLUGGED      path; while the file exists, STUB_NO_DEVICE and STUB_ABORT both hold
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_OK = 0, STATUS_ERROR = 1 };

struct int_array {
  int size;
  int data[];
};

struct float_array {
  int size;
  float data[];
};

struct affine {
  struct float_array *scales;
  struct int_array *zero_points;
  int dimension;
};

struct tensor {
  int type;
  void *raw;
  struct int_array *dims;
  float scale;
  int zero_point;
  int allocation;
  size_t bytes;
  void *skipped[3];
  int buffer_handle;
  char flags[4];
  int quantisation; /* 1: affine */
  struct affine *affine;
  void *later[2];
};

struct node {
  struct int_array *inputs;
  struct int_array *outputs;
  char rest[64];
};

struct context;
struct delegate;

struct registration {
  void *(*init)(struct context *, const char *, size_t);
  void (*release)(struct context *, void *);
  int (*prepare)(struct context *, struct node *);
  int (*invoke)(struct context *, struct node *);
  void *profiling;
  int builtin_code;
  const char *custom_name;
  int version;
#ifndef OLD_REGISTRATION
  void *later_fields[3];
#endif
};

struct context {
  size_t tensors_size;
  int (*plan)(struct context *, struct int_array **);
  struct tensor *tensors;
  void *skipped[4];
  int (*node_of)(struct context *, int, struct node **, struct registration **);
  int (*replace)(struct context *, struct registration, const struct int_array *,
                 struct delegate *);
};

struct delegate {
  void *data;
  int (*prepare)(struct context *, struct delegate *);
  void *skipped[3];
  int64_t flags;
  void *builder;
};

static int unplugged(void) {
  const char *path = getenv("STUB_UNPLUGGED");
  return path && access(path, F_OK) == 0;
}

static void *kernel_init(struct context *c, const char *buffer, size_t length) {
  (void)c, (void)buffer, (void)length;
  return NULL;
}

static void kernel_release(struct context *c, void *data) { (void)c, (void)data; }

static int kernel_prepare(struct context *c, struct node *n) {
  (void)c, (void)n;
  return getenv("STUB_FAIL_PREPARE") ? STATUS_ERROR : STATUS_OK;
}

static int kernel_invoke(struct context *c, struct node *n) {
  const char *slow = getenv("STUB_SLOW_MS"), *score = getenv("STUB_SCORE");
  int anchor, column, value;
  if (getenv("STUB_ABORT") || unplugged()) {
    fputs("transfer on tag 0 failed. Abort.\n", stderr);
    abort();
  }
  if (slow) usleep(1000 * (useconds_t)atoi(slow));
  for (int i = 0; i < n->outputs->size; i++) {
    struct tensor *t = &c->tensors[n->outputs->data[i]];
    memset(t->raw, t->zero_point, t->bytes);
  }
  if (score && n->outputs->size > 1 &&
      sscanf(score, "%d:%d:%d", &anchor, &column, &value) == 3) {
    struct tensor *t = &c->tensors[n->outputs->data[1]];
    ((uint8_t *)t->raw)[anchor * t->dims->data[2] + column] = (uint8_t)value;
  }
  return STATUS_OK;
}

static int listed(const char *codes, int code) {
  for (const char *at = codes; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
    if (atoi(at) == code) return 1;
  return 0;
}

static int one_scale(struct context *c, const struct int_array *tensors) {
  for (int i = 0; i < tensors->size; i++) {
    struct tensor *t;
    if (tensors->data[i] < 0) continue;
    t = &c->tensors[tensors->data[i]];
    if (t->quantisation != 1 || !t->affine || !t->affine->scales || !t->affine->zero_points)
      return 0;
    if (t->affine->scales->size != 1 || t->affine->zero_points->size != 1) return 0;
  }
  return 1;
}

static int takes(struct context *c, const struct node *n) {
  return getenv("STUB_ANY_SCALES") || (one_scale(c, n->inputs) && one_scale(c, n->outputs));
}

static int delegate_prepare(struct context *c, struct delegate *d) {
  const char *wanted = getenv("STUB_OPERATOR"), *builtin = getenv("STUB_BUILTIN");
  struct int_array *plan;
  int claimed[256], count = 0;
  if (!wanted) wanted = "edgetpu-custom-op";
  if (c->plan(c, &plan) != STATUS_OK) return STATUS_ERROR;
  for (int i = 0; i < plan->size && count < 256; i++) {
    struct node *n;
    struct registration *r;
    if (c->node_of(c, plan->data[i], &n, &r) != STATUS_OK) return STATUS_ERROR;
    if (builtin ? listed(builtin, r->builtin_code) && takes(c, n)
                : r->custom_name && strcmp(r->custom_name, wanted) == 0)
      claimed[count++] = plan->data[i];
  }
  for (int i = 0; i < count; i++) {
    struct registration kernel = {.init = kernel_init, .release = kernel_release,
                                  .prepare = kernel_prepare, .invoke = kernel_invoke,
                                  .custom_name = "StubKernel", .version = 1};
    int one[2] = {1, claimed[i]};
    if (c->replace(c, kernel, (const struct int_array *)one, d) != STATUS_OK) return STATUS_ERROR;
  }
  return STATUS_OK;
}

struct delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                               void (*report)(const char *)) {
  const char *log = getenv("STUB_OPTIONS_LOG");
  struct delegate *made;
  (void)report;
  if (log) {
    FILE *file = fopen(log, "w");
    for (size_t i = 0; file && i < count; i++) fprintf(file, "%s=%s\n", keys[i], values[i]);
    if (file) fclose(file);
  }
  if (getenv("STUB_NO_DEVICE") || unplugged()) return NULL;
  made = calloc(1, sizeof *made);
  made->prepare = delegate_prepare;
  made->flags = 1; /* dynamic tensors are allowed */
  return made;
}

void tflite_plugin_destroy_delegate(struct delegate *d) { free(d); }
