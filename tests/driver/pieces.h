// What the stub driver counts and holds: numbers that tests set and read, and the pieces (memory,
// streams, events, graphs) that exist. libcuda.c is the one file that includes it.

#include <cuda.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

// ---- what tests set and read

static struct { const char *name; long value; } values[] = {
    {"memory_mib", 30000},      // of the GPU
    {"multiprocessors", 16},    // of an AGX Orin at full power
    {"integrated", 1},
    {"clock_khz", 1300000},
    {"allocations_left", -1},   // device allocations until memory ends; -1: never
    {"pinned_left", -1},        // the same for pinned memory
    {"work_left", -1},          // copies and launches until the device fails for ever
    {"graphs", 1},              // 0: captures are refused
    {"lowest_priority", 0},     // of streams; a lower number is a higher priority
    {"highest_priority", -5},
    {"priorities", 2},          // 1: no stream with a priority is made, 0: nor is the range told
    {"events_left", -1},        // events until no more can be made
    {"queries_unready", 0},     // queries of events that find work going on
    {"work_priority", 99},      // of the stream that work was last done in
    {"version", 12060},
    {"live_memory", 0},         // pieces of device memory, and so on
    {"live_pinned", 0},
    {"live_streams", 0},
    {"live_events", 0},
    {"live_graphs", 0},
    {"live_executables", 0},
    {"live_contexts", 0},       // contexts that are current in a thread, summed over threads
    {"mistakes", 0},
    {"copies", 0},
    {"launches", 0},            // of graphs
    {"captures", 0},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long *value(const char *name) {
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!strcmp(values[i].name, name)) return &values[i].value;
    abort();
}

EXPORT void stub_set(const char *name, long number) { *value(name) = number; }
EXPORT long stub_get(const char *name) { return *value(name); }

static void count(const char *name, long by) { __atomic_add_fetch(value(name), by, __ATOMIC_SEQ_CST); }

static CUresult mistake(CUresult error) {
    count("mistakes", 1);
    return error;
}

static int ends(const char *name) {
    long *left = value(name);
    if (*left == 0) return 1;
    if (*left > 0) --*left;
    return 0;
}

// ---- pieces: memory, streams, events and graphs that exist

enum kind { MEMORY, PINNED, STREAM, EVENT, GRAPH, EXECUTABLE };
static const char *live[] = {"live_memory", "live_pinned", "live_streams",
                             "live_events", "live_graphs", "live_executables"};

// A copy, or a call of a function of the host in its place.
struct copy { void *target; const void *source; size_t size; CUhostFn function; };

struct piece {
    enum kind kind;
    size_t size;
    char *bytes;               // MEMORY, PINNED
    double recorded_ms;        // EVENT; below 0: never
    struct copy *copies;       // GRAPH, EXECUTABLE
    size_t count;
    int priority;              // STREAM
    struct piece *capturing;   // STREAM: the graph that takes its work
    pthread_t by;              // STREAM: the thread that began the capture
    struct piece *next;
};

static struct piece *pieces;

static struct piece *add(enum kind kind, size_t size) {
    struct piece *made = calloc(1, sizeof *made);
    made->kind = kind, made->size = size, made->recorded_ms = -1;
    if (kind <= PINNED && posix_memalign((void **)&made->bytes, 512, size)) abort();
    pthread_mutex_lock(&lock);
    made->next = pieces, pieces = made;
    pthread_mutex_unlock(&lock);
    count(live[kind], 1);
    return made;
}

static struct piece *find(enum kind kind, const void *handle) {
    struct piece *each;
    pthread_mutex_lock(&lock);
    for (each = pieces; each; each = each->next)
        if (each->kind == kind && (each->bytes ? (void *)each->bytes : each) == handle) break;
    pthread_mutex_unlock(&lock);
    return each;
}

static int inside(enum kind kind, const void *from, size_t size) {
    const char *start = from;
    int found = 0;
    pthread_mutex_lock(&lock);
    for (struct piece *each = pieces; each && !found; each = each->next)
        found = each->kind == kind && start >= each->bytes && start + size <= each->bytes + each->size;
    pthread_mutex_unlock(&lock);
    return found;
}

static CUresult drop(enum kind kind, const void *handle) {
    struct piece *found = find(kind, handle);
    if (!found) return mistake(CUDA_ERROR_INVALID_VALUE);
    pthread_mutex_lock(&lock);
    struct piece **link = &pieces;
    while (*link != found) link = &(*link)->next;
    *link = found->next;
    pthread_mutex_unlock(&lock);
    count(live[kind], -1);
    free(found->bytes), free(found->copies), free(found);
    return CUDA_SUCCESS;
}
