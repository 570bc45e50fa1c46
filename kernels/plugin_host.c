#include "kernels/plugin_host.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "kernels/plugin_call.h"

#define REGION_BYTES ((size_t)1 << 33) /* address space; memory is taken as calls touch it */
#define REGION_LEAST ((size_t)1 << 26)
enum { PAGE = 4096, GUARD = 192, FENCE = 16 * PAGE };

/* What a call may need: at the start of the region, read by the child. */
struct request {
    size_t kernel;
    size_t inputs_bytes;            /* from the start of the region, this request included */
    size_t outputs_at, outputs_bytes; /* whole pages */
    union {
        struct clsa_plugin_index_call index;
        struct clsa_plugin_topk_call topk;
        struct clsa_plugin_attn_call attn;
    } call;
};

enum reply_type { READY, REFUSED, RETURNED, SIGNALLED };

/* From the child, as one packet. */
struct reply {
    int type; /* enum reply_type */
    int code; /* what the kernel returned, or the signal */
    int wrote; /* the faulting access was a write, where the processor says so */
    double ns;
    uintptr_t address;
    char text[CLSA_PLUGIN_TEXT]; /* REFUSED */
    char name[CLSA_PLUGIN_NAME]; /* READY */
    size_t offers;
    struct clsa_plugin_offer offer[CLSA_PLUGIN_KERNELS_MAX];
};

struct output {
    unsigned char *at;
    size_t rows, row_bytes, stride;
};

struct clsa_plugin_host {
    char *path;
    unsigned deadline_ms;
    pid_t child; /* 0: none */
    int socket;
    unsigned char *region;
    size_t region_bytes;
    char name[CLSA_PLUGIN_NAME];
    size_t offers;
    struct clsa_plugin_offer offer[CLSA_PLUGIN_KERNELS_MAX];
    char fault[CLSA_PLUGIN_TEXT];
    double ns;
    size_t calls;
    int vary;

    /* the call being made */
    size_t inputs_at, inputs_from, outputs_from, outputs_at, outputs_count;
    struct output outputs[2];
    int full;
};

int plugin_fault(struct clsa_plugin_host *h, const char *format, ...)
{
    va_list args;

    if (h->fault[0] == '\0') {
        va_start(args, format);
        vsnprintf(h->fault, sizeof h->fault, format, args);
        va_end(args);
    }
    return -1;
}

/* ---- the child ---- */

static int child_socket;

/* Tells where the access went and lets the signal end the process. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    struct reply reply = {.type = SIGNALLED, .code = number,
                          .address = (uintptr_t)info->si_addr};

#if defined(__x86_64__) && defined(REG_ERR)
    reply.wrote = (((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
    (void)context;
#endif
    send(child_socket, &reply, sizeof reply, MSG_NOSIGNAL);
    signal(number, SIG_DFL);
    raise(number);
}

static void watch_signals(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static char room[64 * 1024];
    stack_t stack = {.ss_sp = room, .ss_size = sizeof room};
    size_t i;

    sigaltstack(&stack, NULL);
    for (i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        sigaction(fatal[i], &action, NULL);
}

static const struct clsa_plugin *refuse(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const struct clsa_plugin *refuse(struct reply *reply, const char *format, ...)
{
    va_list args;

    reply->type = REFUSED;
    va_start(args, format);
    vsnprintf(reply->text, sizeof reply->text, format, args);
    va_end(args);
    return NULL;
}

static int is_name(const char *name)
{
    return name != NULL && name[0] != '\0' && strlen(name) < CLSA_PLUGIN_NAME;
}

static const struct clsa_plugin *load(const char *path, struct reply *reply)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct clsa_plugin *(*entry)(void);
    const struct clsa_plugin *plugin;
    void *symbol;
    size_t i, j;

    if (object == NULL)
        return refuse(reply, "cannot be loaded: %.200s", dlerror());
    symbol = dlsym(object, "clsa_plugin_v1");
    if (symbol == NULL)
        return refuse(reply, "exports no symbol clsa_plugin_v1");
    memcpy(&entry, &symbol, sizeof entry); /* POSIX: a function's address in a void pointer */
    plugin = entry();
    if (plugin == NULL)
        return refuse(reply, "cannot run here: clsa_plugin_v1 returned no description");
    if (plugin->abi != CLSA_PLUGIN_ABI)
        return refuse(reply, "has ABI version %u, this program speaks %d", plugin->abi,
                      CLSA_PLUGIN_ABI);
    if (!is_name(plugin->name))
        return refuse(reply, "has no name, or one longer than %d bytes", CLSA_PLUGIN_NAME - 1);
    if (plugin->kernels_count == 0 || plugin->kernels_count > CLSA_PLUGIN_KERNELS_MAX ||
        plugin->kernels == NULL)
        return refuse(reply, "offers %u kernels, not 1 to %d", plugin->kernels_count,
                      CLSA_PLUGIN_KERNELS_MAX);
    memcpy(reply->name, plugin->name, strlen(plugin->name) + 1);
    for (i = 0; i < plugin->kernels_count; i++) {
        const struct clsa_plugin_kernel *k = &plugin->kernels[i];

        if (!is_name(k->name) || k->run == NULL || k->kind < CLSA_PLUGIN_INDEX_SCORE ||
            k->kind > CLSA_PLUGIN_ATTN_SPARSE)
            return refuse(reply, "kernel %zu has no proper name, function or kind", i);
        for (j = 0; j < i; j++)
            if (strcmp(k->name, plugin->kernels[j].name) == 0)
                return refuse(reply, "two kernels are called %s", k->name);
        memcpy(reply->offer[i].name, k->name, strlen(k->name) + 1);
        reply->offer[i].kind = k->kind;
        reply->offer[i].flags = k->flags;
    }
    reply->offers = plugin->kernels_count;
    return plugin;
}

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Only the call's buffers can be reached: inputs to read, outputs to read and write. */
static int fence(const struct clsa_plugin_host *h)
{
    const struct request *request = (const void *)h->region;
    size_t in, at, out;

    if (mprotect(h->region, PAGE, PROT_READ) != 0)
        return -1;
    in = request->inputs_bytes;
    at = request->outputs_at;
    out = request->outputs_bytes;
    return mprotect(h->region + in, h->region_bytes - in, PROT_NONE) != 0 ||
                   mprotect(h->region, in, PROT_READ) != 0 ||
                   mprotect(h->region + at, out, PROT_READ | PROT_WRITE) != 0
               ? -1
               : 0;
}

static void serve(struct clsa_plugin_host *h, int to_parent) __attribute__((noreturn));
static void serve(struct clsa_plugin_host *h, int to_parent)
{
    const struct request *request = (const void *)h->region;
    const struct rlimit no_core = {0, 0};
    const struct clsa_plugin *plugin;
    struct reply reply = {.type = READY};
    char wake;
    int null;

    child_socket = to_parent;
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* standard output is the program's data: what a plugin prints goes beside it */
    dup2(STDERR_FILENO, STDOUT_FILENO);
    null = open("/dev/null", O_RDONLY);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    watch_signals();
    plugin = load(h->path, &reply);
    if (send(to_parent, &reply, sizeof reply, MSG_NOSIGNAL) < 0 || plugin == NULL)
        _exit(0);
    while (recv(to_parent, &wake, 1, 0) == 1) {
        double start;

        memset(&reply, 0, sizeof reply);
        reply.type = RETURNED;
        if (fence(h) != 0)
            _exit(120);
        start = now_ns();
        reply.code = plugin->kernels[request->kernel].run(&request->call);
        reply.ns = now_ns() - start;
        fflush(NULL);
        if (send(to_parent, &reply, sizeof reply, MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

/* ---- the parent ---- */

static void end_child(struct clsa_plugin_host *h, int *status)
{
    if (h->child > 0) {
        close(h->socket);
        kill(h->child, SIGKILL);
        while (waitpid(h->child, status, 0) < 0 && errno == EINTR)
            ;
    }
    h->child = 0;
}

/* Where an address lies, in words for the plugin's author. */
static const char *place(const struct clsa_plugin_host *h, const struct reply *r, char *text,
                         size_t text_bytes)
{
    const uintptr_t from = (uintptr_t)h->region, in = from + h->inputs_at;
    const uintptr_t out = from + h->outputs_from, end = from + h->outputs_at;
    const uintptr_t a = r->address;

    if (r->code != SIGSEGV && r->code != SIGBUS)
        return "";
    if (a >= from && a < in)
        return r->wrote ? ": it wrote to its inputs" : ": it touched its inputs wrongly";
    if (a >= from && a < from + h->region_bytes && h->outputs_count > 0) {
        snprintf(text, text_bytes, ": it %s memory that is not its own, %td bytes %s",
                 r->wrote ? "wrote to" : "read",
                 a < out ? (ptrdiff_t)(a - in) : (ptrdiff_t)(a - end),
                 a < out ? "behind its inputs" : "behind its outputs");
        return text;
    }
    snprintf(text, text_bytes, " at address %#zx", (size_t)a);
    return text;
}

/* The child is gone, or about to: says of what. `last` is its last word, or NULL. */
static int died(struct clsa_plugin_host *h, const char *what, const struct reply *last)
{
    char text[100] = "";
    int status = 0;

    if (last == NULL) { /* it ended by itself: let it finish before it is reaped */
        struct timespec pause = {0, 20 * 1000 * 1000};
        siginfo_t info;
        int i;

        for (i = 0; i < 50; i++) {
            info.si_pid = 0;
            if (waitid(P_PID, (id_t)h->child, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
                info.si_pid != 0)
                break;
            nanosleep(&pause, NULL);
        }
    }
    end_child(h, &status);
    if (last != NULL)
        return plugin_fault(h, "%s: died of signal %d (%s)%s", what, last->code,
                            strsignal(last->code), place(h, last, text, sizeof text));
    if (WIFSIGNALED(status))
        return plugin_fault(h, "%s: died of signal %d (%s)", what, WTERMSIG(status),
                            strsignal(WTERMSIG(status)));
    return plugin_fault(h, "%s: the process ended with exit status %d", what, WEXITSTATUS(status));
}

/* The child's next packet. Returns 0, or -1 with a fault and the child ended. */
static int await(struct clsa_plugin_host *h, const char *what, struct reply *reply)
{
    struct pollfd fd = {.fd = h->socket, .events = POLLIN};
    const double deadline = now_ns() + h->deadline_ms * 1e6;
    double left;
    ssize_t got;
    int rc;

    do {
        left = (deadline - now_ns()) / 1e6;
        rc = poll(&fd, 1, left > 0 ? (int)left + 1 : 0);
    } while (rc < 0 && errno == EINTR);
    if (rc == 0) {
        end_child(h, NULL);
        return plugin_fault(h, "%s: no answer in %.1f s: ended", what, h->deadline_ms / 1e3);
    }
    got = recv(h->socket, reply, sizeof *reply, 0);
    if (got != (ssize_t)sizeof *reply)
        return died(h, what, NULL);
    if (reply->type == SIGNALLED)
        return died(h, what, reply);
    return 0;
}

static int start(struct clsa_plugin_host *h)
{
    struct reply *reply = calloc(1, sizeof *reply);
    int pair[2], rc = -1;

    if (reply == NULL)
        return plugin_fault(h, "out of memory");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(reply);
        return plugin_fault(h, "no socket for its process: %s", strerror(errno));
    }
#if defined(_OPENMP) && _OPENMP >= 201811
    /* a child that inherits a team without its threads would wait for them for ever */
    omp_pause_resource_all(omp_pause_soft);
#endif
    fflush(NULL);
    h->inputs_at = h->outputs_from = h->outputs_at = h->outputs_count = 0;
    h->child = fork();
    if (h->child == 0) {
        close(pair[0]);
        free(reply);
        serve(h, pair[1]);
    }
    close(pair[1]);
    h->socket = pair[0];
    if (h->child < 0) {
        close(pair[0]);
        h->child = 0;
        plugin_fault(h, "no process for it: %s", strerror(errno));
        goto done;
    }
    if (await(h, "while loading", reply) != 0)
        goto done;
    reply->text[sizeof reply->text - 1] = '\0';
    if (reply->type != READY || reply->offers > CLSA_PLUGIN_KERNELS_MAX) {
        plugin_fault(h, "%s", reply->text);
        end_child(h, NULL);
        goto done;
    }
    memcpy(h->name, reply->name, sizeof h->name);
    memcpy(h->offer, reply->offer, sizeof h->offer);
    h->offers = reply->offers;
    rc = 0;
done:
    free(reply);
    return rc;
}

int clsa_plugin_host_open(const char *path, unsigned deadline_ms, struct clsa_plugin_host **out,
                          char text[CLSA_PLUGIN_TEXT])
{
    struct clsa_plugin_host *h = calloc(1, sizeof *h);

    snprintf(text, CLSA_PLUGIN_TEXT, "out of memory");
    if (h == NULL)
        return -1;
    h->region = MAP_FAILED;
    h->deadline_ms = deadline_ms;
    /* as a program's argument a file is meant, not a library of the system */
    h->path = malloc(strlen(path) + 3);
    if (h->path == NULL)
        goto fail;
    sprintf(h->path, "%s%s", strchr(path, '/') != NULL ? "" : "./", path);
    for (h->region_bytes = REGION_BYTES; h->region_bytes >= REGION_LEAST; h->region_bytes /= 2) {
        h->region = mmap(NULL, h->region_bytes, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (h->region != MAP_FAILED)
            break;
    }
    if (h->region == MAP_FAILED)
        goto fail;
    if (start(h) != 0) {
        memcpy(text, h->fault, CLSA_PLUGIN_TEXT);
        goto fail;
    }
    *out = h;
    return 0;
fail:
    clsa_plugin_host_close(h);
    return -1;
}

void clsa_plugin_host_close(struct clsa_plugin_host *h)
{
    if (h == NULL)
        return;
    end_child(h, NULL);
    if (h->region != MAP_FAILED)
        munmap(h->region, h->region_bytes);
    free(h->path);
    free(h);
}

int clsa_plugin_host_restart(struct clsa_plugin_host *h)
{
    end_child(h, NULL);
    h->fault[0] = '\0';
    return start(h);
}

const char *clsa_plugin_host_name(const struct clsa_plugin_host *h)
{
    return h->name;
}

size_t clsa_plugin_host_count(const struct clsa_plugin_host *h)
{
    return h->offers;
}

const struct clsa_plugin_offer *clsa_plugin_host_offer(const struct clsa_plugin_host *h, size_t i)
{
    return i < h->offers ? &h->offer[i] : NULL;
}

int clsa_plugin_host_find(const struct clsa_plugin_host *h, uint32_t kind)
{
    size_t i;

    for (i = 0; i < h->offers; i++)
        if (h->offer[i].kind == kind)
            return (int)i;
    return -1;
}

void clsa_plugin_host_vary(struct clsa_plugin_host *h, int vary)
{
    h->vary = vary;
}

const char *clsa_plugin_host_fault(const struct clsa_plugin_host *h)
{
    return h->fault;
}

double clsa_plugin_host_ns(const struct clsa_plugin_host *h)
{
    return h->ns;
}

size_t clsa_plugin_host_calls(const struct clsa_plugin_host *h)
{
    return h->calls;
}

/* ---- the memory of a call ---- */

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

void plugin_begin(struct clsa_plugin_host *h)
{
    h->inputs_at = round_up(sizeof(struct request), PAGE);
    h->inputs_from = h->inputs_at;
    h->outputs_from = h->outputs_at = h->outputs_count = 0;
    h->full = 0;
    memset(h->region + sizeof(struct request), 0xff, h->inputs_at - sizeof(struct request));
}

/* Pitch and misalignment of a buffer: other ones from call to call when varying. */
static size_t pitch(const struct clsa_plugin_host *h, size_t row_bytes, size_t align)
{
    return row_bytes + (h->vary && h->calls % 3 == 1 ? align * (1 + h->calls % 11) : 0);
}

static size_t skew(const struct clsa_plugin_host *h, size_t align)
{
    return h->vary ? align * (h->calls * 7 % (64 / align)) : 0;
}

void *plugin_input(struct clsa_plugin_host *h, size_t rows, size_t row_bytes, size_t align,
                   size_t *stride)
{
    size_t from = round_up(h->inputs_at + GUARD, 256) + skew(h, align), span, room;

    *stride = pitch(h, row_bytes, align);
    room = h->region_bytes / 2;
    if (h->full || from >= room || (*stride > 0 && rows > (room - from) / *stride)) {
        h->full = 1;
        return NULL;
    }
    span = rows * *stride;
    memset(h->region + h->inputs_at, 0xff, from - h->inputs_at);
    if (*stride > row_bytes)
        memset(h->region + from, 0xff, span);
    h->inputs_at = from + span;
    return h->region + from;
}

void *plugin_output(struct clsa_plugin_host *h, size_t rows, size_t row_bytes, size_t align,
                    size_t *stride)
{
    struct output *o = &h->outputs[h->outputs_count];
    size_t from, i, end;

    if (h->outputs_count == 0) {
        const size_t at = round_up(h->inputs_at + GUARD, PAGE);

        memset(h->region + h->inputs_at, 0xff, at - h->inputs_at);
        h->inputs_at = at;
        h->outputs_from = h->outputs_at = at + FENCE;
    }
    *stride = pitch(h, row_bytes, align);
    from = round_up(h->outputs_at + GUARD, 256) + skew(h, align);
    if (h->full || from + 4 * (size_t)FENCE >= h->region_bytes ||
        (*stride > 0 && rows > (h->region_bytes - from - 4 * (size_t)FENCE) / *stride)) {
        h->full = 1;
        return NULL;
    }
    end = round_up(from + rows * *stride + GUARD, PAGE);
    memset(h->region + h->outputs_at, 0xa5, end - h->outputs_at);
    *o = (struct output){h->region + from, rows, row_bytes, *stride};
    for (i = 0; i < rows; i++)
        memset(o->at + i * *stride, 0xff, row_bytes);
    h->outputs_at = end;
    h->outputs_count++;
    return o->at;
}

/* The first byte of [from, to) that is not a guard's, or NULL. */
static const unsigned char *changed(const unsigned char *from, const unsigned char *to)
{
    for (; from < to; from++)
        if (*from != 0xa5)
            return from;
    return NULL;
}

/* Guards before, between and behind the rows of all outputs. */
static int check_guards(struct clsa_plugin_host *h, const char *what)
{
    const unsigned char *at = h->region + h->outputs_from, *end = h->region + h->outputs_at, *bad;
    size_t i, r;

    for (i = 0; i < h->outputs_count; i++) {
        const struct output *o = &h->outputs[i];

        for (r = 0; r < o->rows; r++) {
            const unsigned char *row = o->at + r * o->stride;

            if ((bad = changed(at, row)) != NULL)
                return plugin_fault(h, "%s: wrote out of bounds, %td bytes before row %zu of an "
                                    "output", what, row - bad, r);
            at = row + o->row_bytes;
        }
        /* what follows, up to the next output's guard or the end */
        if ((bad = changed(at, at + GUARD < end ? at + GUARD : end)) != NULL)
            return plugin_fault(h, "%s: wrote out of bounds, byte %td behind an output of %zu rows "
                                "of %zu bytes", what, bad - at, o->rows, o->row_bytes);
    }
    if ((bad = changed(at, end)) != NULL)
        return plugin_fault(h, "%s: wrote out of bounds, byte %td behind an output", what,
                            bad - at);
    return 0;
}

int plugin_run(struct clsa_plugin_host *h, size_t kernel, const void *call, size_t call_bytes)
{
    struct request *request = (void *)h->region;
    struct reply reply;
    const char *what;

    if (h->fault[0] != '\0')
        return -1;
    what = h->offer[kernel].name;
    if (h->child == 0)
        return plugin_fault(h, "%s: its process has ended", what);
    if (h->full)
        return plugin_fault(h, "%s: a call needs more than the %zu bytes of shared memory", what,
                            h->region_bytes / 2);
    request->kernel = kernel;
    request->inputs_bytes = h->inputs_at;
    request->outputs_at = h->outputs_from;
    request->outputs_bytes = h->outputs_at - h->outputs_from;
    memcpy(&request->call, call, call_bytes);
    h->calls++;
    if (send(h->socket, "c", 1, MSG_NOSIGNAL) != 1)
        return died(h, what, NULL);
    if (await(h, what, &reply) != 0)
        return -1;
    h->ns = reply.ns;
    if (check_guards(h, what) != 0)
        return -1;
    if (reply.code == CLSA_PLUGIN_UNSUPPORTED)
        return CLSA_PLUGIN_UNSUPPORTED;
    if (reply.code != 0)
        return plugin_fault(h, "%s: returned %d", what, reply.code);
    return 0;
}
