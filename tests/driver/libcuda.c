// A CUDA driver for tests: device memory is this computer's, work is done when it is enqueued.
//
// It checks what a real driver punishes with corruption or a crash: pieces that are freed twice or
// not at all, copies out of bounds, calls without a current context, streams that are gone. Each
// mistake fails the call with the driver's own error and is counted. Streams keep an order that is
// trivially right, since nothing runs late: this driver says nothing about races or times.
//
// Faults are set by stub_set, and counts are read by stub_get (names in pieces.h). Functions that
// pycuda is linked with and that are not here are refused (build.py).

#define _GNU_SOURCE
#include <stdint.h>
#include <time.h>

#include "pieces.h"

#define MAX_DEPTH 64

// ---- contexts: one primary one, current in a thread as often as it was pushed

static char primary;
static int retained;
static __thread int depth;
static int broken;  // after a fault of the device every call fails

static CUresult ready(void) {
    if (!depth) return mistake(CUDA_ERROR_INVALID_CONTEXT);
    return broken ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_SUCCESS;
}

#define READY() do { CUresult error_ = ready(); if (error_) return error_; } while (0)

EXPORT void stub_heal(void) { broken = 0; }

EXPORT CUresult cuInit(unsigned flags) { return CUDA_SUCCESS; }
EXPORT CUresult cuDriverGetVersion(int *v) { *v = *value("version"); return CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGet(CUdevice *d, int i) { *d = i; return i ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGetCount(int *n) { *n = 1; return CUDA_SUCCESS; }
EXPORT CUresult cuDeviceGetName(char *name, int size, CUdevice d) { strncpy(name, "Orin", size); return CUDA_SUCCESS; }
EXPORT CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice d) { *major = 8, *minor = 7; return CUDA_SUCCESS; }
EXPORT CUresult cuDeviceTotalMem_v2(size_t *size, CUdevice d) { *size = (size_t)*value("memory_mib") << 20; return CUDA_SUCCESS; }

EXPORT CUresult cuDeviceGetAttribute(int *result, CUdevice_attribute name, CUdevice d) {
    switch (name) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *result = *value("multiprocessors"); break;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED: *result = *value("integrated"); break;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *result = *value("clock_khz"); break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: *result = *value("clock_khz"); break;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: *result = 256; break;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *result = 4 << 20; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *result = 8; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *result = 7; break;
    default: *result = 0;
    }
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice d) { retained++; *context = (CUcontext)&primary; return CUDA_SUCCESS; }
EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) { return retained-- > 0 ? CUDA_SUCCESS : mistake(CUDA_ERROR_INVALID_CONTEXT); }

EXPORT CUresult cuCtxPushCurrent_v2(CUcontext context) {
    if (context != (CUcontext)&primary || !retained || depth == MAX_DEPTH) return mistake(CUDA_ERROR_INVALID_CONTEXT);
    depth++, count("live_contexts", 1);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPopCurrent_v2(CUcontext *context) {
    if (!depth) return mistake(CUDA_ERROR_INVALID_CONTEXT);
    depth--, count("live_contexts", -1);
    if (context) *context = (CUcontext)&primary;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetDevice(CUdevice *d) { *d = 0; return depth ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT; }
EXPORT CUresult cuCtxGetApiVersion(CUcontext context, unsigned *v) { *v = 3020; return CUDA_SUCCESS; }
EXPORT CUresult cuCtxSynchronize(void) { return ready(); }

// ---- memory

EXPORT CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    READY();
    *total = *free_bytes = (size_t)*value("memory_mib") << 20;
    pthread_mutex_lock(&lock);
    for (struct piece *each = pieces; each; each = each->next)
        if (each->kind == MEMORY) *free_bytes -= each->size;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size) {
    READY();
    if (!size) return mistake(CUDA_ERROR_INVALID_VALUE);
    if (ends("allocations_left") || size > (size_t)*value("memory_mib") << 20) return CUDA_ERROR_OUT_OF_MEMORY;
    struct piece *made = add(MEMORY, size);
    memset(made->bytes, 0xa5, size);  // memory is never zero by itself
    *address = (CUdeviceptr)made->bytes;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemFree_v2(CUdeviceptr address) { READY(); return drop(MEMORY, (void *)address); }

EXPORT CUresult cuMemHostAlloc(void **address, size_t size, unsigned flags) {
    READY();
    if (ends("pinned_left")) return CUDA_ERROR_OUT_OF_MEMORY;
    *address = add(PINNED, size)->bytes;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuMemFreeHost(void *address) { READY(); return drop(PINNED, address); }

// ---- streams, copies, captures

EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    READY();
    if (flags != CU_STREAM_NON_BLOCKING) count("mistakes", 1);
    *stream = (CUstream)add(STREAM, 0);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetStreamPriorityRange(int *lowest, int *highest) {
    READY();
    if (*value("priorities") < 1) return CUDA_ERROR_NOT_SUPPORTED;
    *lowest = *value("lowest_priority"), *highest = *value("highest_priority");
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
    READY();
    if (*value("priorities") < 2) return CUDA_ERROR_NOT_SUPPORTED;
    if (priority > *value("lowest_priority") || priority < *value("highest_priority")) count("mistakes", 1);
    CUresult error = cuStreamCreate(stream, flags);
    if (!error) find(STREAM, *stream)->priority = priority;
    return error;
}

EXPORT CUresult cuStreamGetPriority(CUstream stream, int *priority) {
    READY();
    struct piece *found = find(STREAM, stream);
    if (!found) return mistake(CUDA_ERROR_INVALID_HANDLE);
    *priority = found->priority;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamDestroy_v2(CUstream stream) { READY(); return drop(STREAM, stream); }

EXPORT CUresult cuStreamSynchronize(CUstream stream) {
    READY();
    struct piece *found = find(STREAM, stream);
    if (!found) return mistake(CUDA_ERROR_INVALID_HANDLE);
    return found->capturing ? mistake(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED) : CUDA_SUCCESS;
}

EXPORT CUresult cuStreamQuery(CUstream stream) { return cuStreamSynchronize(stream); }

static CUresult work(void) {
    if (!broken && ends("work_left")) broken = 1;
    return broken ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_SUCCESS;
}

static CUresult do_or_record(struct copy what, CUstream stream) {
    struct piece *found = find(STREAM, stream);
    if (!found) return mistake(CUDA_ERROR_INVALID_HANDLE);
    struct piece *graph = found->capturing;
    if (graph) {
        if (!pthread_equal(found->by, pthread_self())) return mistake(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
        graph->copies = realloc(graph->copies, (graph->count + 1) * sizeof *graph->copies);
        graph->copies[graph->count++] = what;
        return CUDA_SUCCESS;
    }
    CUresult error = work();
    *value("work_priority") = found->priority;
    if (!error && what.function) what.function(what.target);
    else if (!error) memcpy(what.target, what.source, what.size), count("copies", 1);
    return error;
}

EXPORT CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *data) {
    READY();
    return do_or_record((struct copy){data, NULL, 0, function}, stream);
}

EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t size, CUstream stream) {
    READY();
    if (!inside(MEMORY, (void *)target, size)) return mistake(CUDA_ERROR_INVALID_VALUE);
    if (!inside(PINNED, source, size)) return mistake(CUDA_ERROR_INVALID_VALUE);  // it would be staged
    return do_or_record((struct copy){(void *)target, source, size, NULL}, stream);
}

EXPORT CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t size, CUstream stream) {
    READY();
    if (!inside(MEMORY, (void *)source, size)) return mistake(CUDA_ERROR_INVALID_VALUE);
    if (!inside(PINNED, target, size)) return mistake(CUDA_ERROR_INVALID_VALUE);
    return do_or_record((struct copy){target, (void *)source, size, NULL}, stream);
}

EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) {
    READY();
    struct piece *found = find(STREAM, stream);
    if (!found || found->capturing) return mistake(CUDA_ERROR_ILLEGAL_STATE);
    if (mode != CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) count("mistakes", 1);
    if (!*value("graphs")) return CUDA_ERROR_NOT_SUPPORTED;
    found->capturing = add(GRAPH, 0), found->by = pthread_self();
    count("captures", 1);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    READY();
    struct piece *found = find(STREAM, stream);
    if (!found || !found->capturing) return mistake(CUDA_ERROR_ILLEGAL_STATE);
    *graph = (CUgraph)found->capturing, found->capturing = NULL;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *made, CUgraph graph, unsigned long long flags) {
    READY();
    struct piece *found = find(GRAPH, graph);
    if (!found) return mistake(CUDA_ERROR_INVALID_VALUE);
    struct piece *executable = add(EXECUTABLE, 0);
    executable->count = found->count;
    executable->copies = malloc(found->count * sizeof *found->copies + 1);
    memcpy(executable->copies, found->copies, found->count * sizeof *found->copies);
    *made = (CUgraphExec)executable;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream) {
    READY();
    struct piece *found = find(EXECUTABLE, graph);
    if (!found || !find(STREAM, stream)) return mistake(CUDA_ERROR_INVALID_HANDLE);
    count("launches", 1);
    CUresult error = CUDA_SUCCESS;
    for (size_t i = 0; i < found->count && !error; i++) {
        struct copy *each = &found->copies[i];
        int up = inside(MEMORY, each->target, each->size) && inside(PINNED, each->source, each->size);
        int down = inside(PINNED, each->target, each->size) && inside(MEMORY, each->source, each->size);
        if (!each->function && !up && !down) return mistake(CUDA_ERROR_ILLEGAL_ADDRESS);
        error = do_or_record(*each, stream);
    }
    return error;
}

EXPORT CUresult cuGraphDestroy(CUgraph graph) { READY(); return drop(GRAPH, graph); }
EXPORT CUresult cuGraphExecDestroy(CUgraphExec graph) { READY(); return drop(EXECUTABLE, graph); }

// ---- events

EXPORT CUresult cuEventCreate(CUevent *event, unsigned flags) {
    READY();
    if (ends("events_left")) return CUDA_ERROR_OUT_OF_MEMORY;
    *event = (CUevent)add(EVENT, 0);
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventDestroy_v2(CUevent event) { READY(); return drop(EVENT, event); }

EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
    READY();
    struct piece *found = find(EVENT, event);
    if (!found || !find(STREAM, stream)) return mistake(CUDA_ERROR_INVALID_HANDLE);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    found->recorded_ms = now.tv_sec * 1e3 + now.tv_nsec / 1e6;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuEventSynchronize(CUevent event) { READY(); return find(EVENT, event) ? CUDA_SUCCESS : mistake(CUDA_ERROR_INVALID_HANDLE); }

EXPORT CUresult cuEventQuery(CUevent event) {
    if (*value("queries_unready") > 0) return --*value("queries_unready"), CUDA_ERROR_NOT_READY;
    return cuEventSynchronize(event);
}

EXPORT CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) {
    READY();
    struct piece *first = find(EVENT, start), *second = find(EVENT, end);
    if (!first || !second || first->recorded_ms < 0 || second->recorded_ms < 0) return CUDA_ERROR_INVALID_HANDLE;
    *ms = (float)(second->recorded_ms - first->recorded_ms);
    return CUDA_SUCCESS;
}

// ---- errors

EXPORT CUresult cuGetErrorString(CUresult error, const char **text) {
    switch (error) {
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "out of memory"; break;
    case CUDA_ERROR_ILLEGAL_ADDRESS: *text = "an illegal memory access was encountered"; break;
    case CUDA_ERROR_INVALID_CONTEXT: *text = "invalid device context"; break;
    case CUDA_ERROR_INVALID_VALUE: *text = "invalid argument"; break;
    case CUDA_ERROR_INVALID_HANDLE: *text = "invalid resource handle"; break;
    case CUDA_ERROR_NOT_SUPPORTED: *text = "operation not supported"; break;
    case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: *text = "operation not permitted when stream is capturing"; break;
    default: *text = "another error";
    }
    return CUDA_SUCCESS;
}
