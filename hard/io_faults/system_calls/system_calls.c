/* system_calls.c: every system call under src/vfs/posix.c fails, in every way that matters, while
 * short histories run on real files.
 *
 * A script is run once clean and its calls are counted. Then each of them is struck, with each
 * failure of its kind; errors both once and for ever with all later calls of the kind. EINTR, short
 * transfers, an fallocate or pwritev2 that the system does not have, advice that is refused and
 * what close says must not be seen at all. All other failures must come out as the one status that
 * stands for them. Then the process "starts again": what is found must be allowed, a transaction
 * must commit, verify must be content; no descriptor and no map may be left.
 *
 * Whether syncs are asked for at all is watched on the way (observed_sync and its neighbours).
 *
 * The sweep runs a second time for a system without RWF_DSYNC, where a synchronous write is two
 * calls.
 *
 * A case reads "SCRIPT dsync|plain NTH HOW once|ever"; HOW is an errno value, or -1 to -4 (see
 * calls.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/prng.h"
#include "common/rack.h"
#include "io_faults/script.h"
#include "io_faults/system_calls/calls.h"

enum figure {
    FIGURE_SCRIPTS,
    FIGURE_CALLS,     /* of the clean runs: each was struck */
    FIGURE_FAULTS,    /* runs with a struck call */
    FIGURE_INVISIBLE, /* of these, ones that nobody may notice */
    FIGURE_NOTICED,   /* runs in which an answer was a failure */
    FIGURE_STATUSES,
    FIGURE_REOPENED,
    FIGURE_LEFT,
    FIGURE_COUNT
};

static const char *const figure_names[FIGURE_COUNT] = {
    "scripts", "calls", "faults", "invisible", "noticed", "statuses", "reopens", "left_out",
};

static const char *const scripts[] = {
    "new/full/put,big,checkpoint,reopen,put",
    "aged/full/mixed,checkpoint,wide,checkpoint",
    "aged/off/put,mixed,checkpoint,put,reopen,put",
    "aged/full/put,verify,put,look,log,put",
};
#define SCRIPT_COUNT (sizeof scripts / sizeof scripts[0])

static const struct rack_settings *settings;
static char directory[512];
static char path[600];
static struct ref_state *aged_state;
static uint8_t *aged_bytes;
static size_t aged_size;
static uint64_t statuses_seen;

/* ---- what a failure means ---- */

/* The ways in which a call of this kind is struck; ends with 0. */
static const int *ways_of(enum call_kind kind)
{
    static const int opening[] = {EINTR, CALL_EINTR_3, EMFILE, ENOSPC, EIO, 0};
    static const int reading[] = {CALL_EINTR_3, CALL_SHORT_ONE, CALL_SHORT_HALF, EIO, 0};
    static const int writing[] = {
        CALL_EINTR_3, CALL_SHORT_ONE, CALL_SHORT_HALF, CALL_HALF_FULL, EIO, ENOSPC, 0};
    static const int dsync[] = {CALL_EINTR_3, CALL_SHORT_ONE, CALL_SHORT_HALF, CALL_HALF_FULL, EIO,
                                ENOSPC,       EOPNOTSUPP,     EINVAL,          ENOSYS,         0};
    static const int syncing[] = {EIO, ENOSPC, EINTR, 0};
    static const int sizing[] = {CALL_EINTR_3, EIO, 0};
    static const int allocating[] = {CALL_EINTR_3, EIO, ENOSPC, EOPNOTSUPP, ENOSYS, 0};
    static const int locking[] = {CALL_EINTR_3, EAGAIN, ENOLCK, 0};
    static const int memory[] = {ENOMEM, 0};
    static const int chance[] = {EINTR, CALL_EINTR_3, EIO, 0};
    static const int closing[] = {EINTR, EIO, 0};
    static const int other[] = {EIO, 0};
    switch ((unsigned)kind) {
    case CALL_open: return opening;
    case CALL_close: return closing;
    case CALL_pread: return reading;
    case CALL_pwrite: return writing;
    case CALL_pwritev2: return dsync;
    case CALL_fdatasync:
    case CALL_fsync: return syncing;
    case CALL_ftruncate: return sizing;
    case CALL_fallocate: return allocating;
    case CALL_fcntl: return locking;
    case CALL_mmap:
    case CALL_mprotect:
    case CALL_madvise: return memory;
    case CALL_getrandom: return chance;
    default: return other;
    }
}

static bool is_sync(enum call_kind kind)
{
    return kind == CALL_fdatasync || kind == CALL_fsync;
}

/* Must nobody notice? */
static bool is_invisible(enum call_kind kind, int how)
{
    if (kind == CALL_close || kind == CALL_madvise) return true;
    if (how == EINTR || how == CALL_EINTR_3) return !is_sync(kind);
    if (how == CALL_SHORT_ONE || how == CALL_SHORT_HALF) return true;
    if (kind == CALL_pwritev2) return how == EOPNOTSUPP || how == EINVAL || how == ENOSYS;
    return kind == CALL_fallocate && (how == EOPNOTSUPP || how == ENOSYS);
}

static ns_status status_for(int how)
{
    switch (how) {
    case CALL_HALF_FULL:
    case ENOSPC: return NS_FULL;
    case EMFILE:
    case ENOMEM: return NS_NOMEM;
    case EAGAIN: return NS_BUSY;
    default: return NS_IO;
    }
}

/* ---- files ---- */

static void make_directory(void)
{
    const char *parent = settings->dir != NULL ? settings->dir : getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/io_faults.XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(directory) == NULL) rack_skip("no directory %s: %s", directory, strerror(errno));
}

static void choose_path(unsigned worker)
{
    snprintf(path, sizeof path, "%s/faults.%u.ns", directory, worker);
}

static void remove_directory(void)
{
    for (unsigned worker = 0; worker < settings->jobs; worker++) {
        choose_path(worker);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}

static void read_aged(void)
{
    struct stat info;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &info) != 0) rack_fail("the aged database cannot be read");
    aged_size = (size_t)info.st_size;
    aged_bytes = malloc(aged_size);
    if (aged_bytes == NULL || pread(fd, aged_bytes, aged_size, 0) != (ssize_t)aged_size)
        rack_fail("the aged database cannot be read");
    close(fd);
}

/* The file as the script wants to find it. */
static void place_file(const struct script *script)
{
    (void)unlink(path);
    if (!script->is_aged) return;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || pwrite(fd, aged_bytes, aged_size, 0) != (ssize_t)aged_size)
        rack_fail("%s cannot be written: %s", path, strerror(errno));
    close(fd);
}

/* ---- are the syncs asked for? ---- */

/* A system without faults cannot show a missing sync, so each synchronous function of the vfs is
 * watched: if it says NS_OK, its bytes went out with RWF_DSYNC, or an fdatasync came behind them;
 * sync asked for one; sync_parent for that of a directory; and none of them failed on the way, as
 * a sync that is tried again proves nothing (DSK-6). */
static struct ns_vfs_file *private_file; /* its syncs have nothing to do */

static ns_status observed_open(void *ctx, const char *name, uint32_t flags,
                               struct ns_vfs_file **file_out)
{
    ns_status status = ns_vfs_default()->open(ctx, name, flags, file_out);
    bool is_private = (flags & NS_VFS_PRIVATE) != 0;
    if (status == NS_OK && is_private) private_file = *file_out;
    if (status == NS_OK && !is_private && private_file == *file_out) private_file = NULL;
    return status;
}

static void observe(void)
{
    calls.unsynced = calls.failed_syncs = calls.data_syncs = calls.directory_syncs = 0;
}

static ns_status observed(ns_status status, const char *what, bool is_synced)
{
    if (status != NS_OK || !calls.is_armed) return status;
    if (calls.failed_syncs > 0) rack_fail("%s is NS_OK, though a sync failed in it", what);
    if (!is_synced) rack_fail("%s is NS_OK, and nothing was synced", what);
    return status;
}

static ns_status observed_sync(void *ctx, struct ns_vfs_file *file)
{
    observe();
    ns_status status = ns_vfs_default()->sync(ctx, file);
    return observed(status, "sync", calls.data_syncs > 0 || file == private_file);
}

static ns_status observed_write_sync(void *ctx, struct ns_vfs_file *file, uint64_t offset,
                                     const void *data, size_t size)
{
    observe();
    ns_status status = ns_vfs_default()->write_sync(ctx, file, offset, data, size);
    return observed(status, "write_sync", calls.unsynced == 0 || file == private_file);
}

static ns_status observed_sync_parent(void *ctx, const char *of)
{
    observe();
    ns_status status = ns_vfs_default()->sync_parent(ctx, of);
    return observed(status, "sync_parent", calls.directory_syncs > 0);
}

static struct shim *the_shim(void)
{
    static struct shim shim;
    static struct ns_vfs vfs;
    vfs = *ns_vfs_default();
    vfs.open = observed_open;
    vfs.sync = observed_sync;
    vfs.write_sync = observed_write_sync;
    vfs.sync_parent = observed_sync_parent;
    if (shim.inner == NULL) shim_init(&shim, &vfs);
    shim_restart(&shim, &vfs);
    return &shim;
}

static void make_aged(void)
{
    static const char life[] = "new/full/mixed,big,create,checkpoint,delete,mixed,reopen,"
                               "overwrite,checkpoint,delete,mixed,reopen";
    struct script script;
    struct run run;
    rack_case("the aged database");
    if (!script_parse(life, &script)) rack_fail("the aged database's script");
    run_init(&run, the_shim(), path, &script, ref_state_new());
    for (unsigned round = 0; round < 2; round++) {
        run_script(&run, &script);
        run_close(&run);
    }
    aged_state = ref_state_keep(run_state(&run, run.published));
    run_deinit(&run);
    read_aged();
}

/* ---- one case ---- */

struct strike {
    bool without_dsync;
    uint64_t nth; /* 0: a clean run */
    enum call_kind kind;
    int how;
    bool for_ever;
};

static void name_case(const struct script *script, const struct strike *strike)
{
    char text[SCRIPT_TEXT_BYTES];
    script_print(script, text);
    rack_case("%s %s %llu %d %s", text, strike->without_dsync ? "plain" : "dsync",
              (unsigned long long)strike->nth, strike->how, strike->for_ever ? "ever" : "once");
}

static void arm(const struct strike *strike)
{
    calls.count = 0;
    calls.nth = strike->nth;
    calls.how = strike->how;
    calls.for_ever = strike->for_ever;
    calls.without_dsync = strike->without_dsync;
    calls.is_canary = settings->is_canary;
    calls.is_armed = true;
}

static void check_balance(int64_t files, int64_t mapped_bytes)
{
    if (calls.files == files && calls.mapped_bytes == mapped_bytes) return;
    rack_fail("left behind: %lld descriptors, %lld mapped bytes", (long long)(calls.files - files),
              (long long)(calls.mapped_bytes - mapped_bytes));
}

/* The process starts again: an allowed state, one more commit, and nothing to complain of. */
static void start_again(struct run *run)
{
    run_open(run);
    if (run->db == NULL) rack_fail("no open after the fault");
    run_op(run, OP_put);
    run_op(run, OP_verify);
    run_check(run);
    run_close(run);
    rack_add(FIGURE_REOPENED, 2);
}

static void run_strike(const struct script *script, const struct strike *strike)
{
    struct run run;
    name_case(script, strike);
    place_file(script);
    int64_t files = calls.files, mapped_bytes = calls.mapped_bytes;
    run_init(&run, the_shim(), path, script,
             script->is_aged ? ref_state_keep(aged_state) : ref_state_new());
    bool invisible = strike->nth == 0 || is_invisible(strike->kind, strike->how);
    if (!invisible) run.allowed = UINT64_C(1) << status_for(strike->how);
    arm(strike);
    run_script(&run, script);
    if (strike->nth % 2 == 0) run_close(&run); /* under the fault; else after it */
    calls.is_armed = false;
    run.allowed = 0;
    if (run.db != NULL && !run.is_poisoned) run_op(&run, OP_put);
    run.allowed = run.is_poisoned ? UINT64_C(1) << NS_POISONED : 0;
    run_close(&run);
    run.allowed = 0;
    check_balance(files, mapped_bytes);
    if (run.failures > 0) rack_add(FIGURE_NOTICED, 1);
    start_again(&run);
    check_balance(files, mapped_bytes);
    statuses_seen |= run.seen;
    run_deinit(&run);
    if (strike->nth == 0) return;
    rack_add(FIGURE_FAULTS, 1);
    if (invisible) rack_add(FIGURE_INVISIBLE, 1);
}

/* Once pwritev2 was seen to be missing, the library never tries it again: such a case gets a
 * process of its own. */
static void run_apart(const struct script *script, const struct strike *strike)
{
    int result = 0;
    pid_t child = fork();
    if (child < 0) rack_fail("fork: %s", strerror(errno));
    if (child == 0) {
        run_strike(script, strike);
        _exit(0);
    }
    name_case(script, strike);
    while (waitpid(child, &result, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(result)) rack_fail("died of signal %d", WTERMSIG(result));
    if (result != 0) _exit(1);
}

static void run_case(const struct script *script, const struct strike *strike)
{
    bool is_missing = strike->kind == CALL_pwritev2 && strike->nth > 0 &&
                      (strike->how == EOPNOTSUPP || strike->how == EINVAL || strike->how == ENOSYS);
    if (is_missing && settings->only == NULL) {
        run_apart(script, strike);
    } else {
        run_strike(script, strike);
    }
}

/* ---- everything ---- */

struct share {
    unsigned worker, workers;
    uint64_t next;
};

static bool is_mine(struct share *share)
{
    if (share->next++ % share->workers != share->worker) return false;
    if (!rack_is_late()) return true;
    rack_add(FIGURE_LEFT, 1);
    return false;
}

/* What for ever would never end, or mean nothing more than once. */
static bool is_once_only(int how)
{
    return how == EINTR || how == CALL_EINTR_3 || how == CALL_HALF_FULL || how == CALL_SHORT_ONE;
}

static void strike_call(const struct script *script, struct strike *strike)
{
    for (const int *how = ways_of(strike->kind); *how != 0; how++) {
        strike->how = *how;
        for (int ever = 0; ever < (is_once_only(*how) ? 1 : 2); ever++) {
            strike->for_ever = ever != 0;
            run_case(script, strike);
        }
    }
    rack_add(FIGURE_CALLS, 1);
}

static uint64_t run_clean(const struct script *script, bool without_dsync, uint8_t kinds[CALLS_MAX])
{
    struct strike clean = {.without_dsync = without_dsync, .nth = 0};
    run_strike(script, &clean);
    if (calls.count > CALLS_MAX) rack_fail("a script makes more calls than are recorded");
    memcpy(kinds, calls.kinds, CALLS_MAX);
    return calls.count;
}

static void sweep_script(const struct script *script, bool without_dsync, struct share *share)
{
    static uint8_t kinds[CALLS_MAX];
    uint64_t count = run_clean(script, without_dsync, kinds);
    for (uint64_t nth = 1; nth <= count; nth++) {
        struct strike strike = {without_dsync, nth, (enum call_kind)kinds[nth - 1], 0, false};
        if (is_mine(share)) strike_call(script, &strike);
    }
    if (share->worker == 0) rack_add(FIGURE_SCRIPTS, 1);
}

static void draw_script(struct ns__prng *prng, struct script *script)
{
    memset(script, 0, sizeof *script);
    script->is_aged = ns__prng_below(prng, 4) != 0;
    script->is_off = ns__prng_below(prng, 2) != 0;
    script->count = 3 + (size_t)ns__prng_below(prng, 6);
    for (size_t i = 0; i < script->count; i++)
        script->ops[i] = (enum script_op)ns__prng_below(prng, OP_COUNT);
}

static void sweep_all(bool without_dsync, struct share *share)
{
    struct script script;
    for (size_t i = 0; i < SCRIPT_COUNT; i++) {
        if (!script_parse(scripts[i], &script)) rack_fail("script %zu cannot be read", i);
        sweep_script(&script, without_dsync, share);
    }
}

static void run_only(const char *only)
{
    static uint8_t kinds[CALLS_MAX];
    struct script script;
    char text[SCRIPT_TEXT_BYTES], sync[16], last[16];
    unsigned long long nth;
    struct strike strike = {0};
    bool is_read =
        sscanf(only, "%255s %15s %llu %d %15s", text, sync, &nth, &strike.how, last) == 5;
    if (!is_read || !script_parse(text, &script)) rack_fail("--only: '%s' cannot be read", only);
    strike.without_dsync = strcmp(sync, "plain") == 0;
    strike.for_ever = strcmp(last, "ever") == 0;
    strike.nth = nth;
    uint64_t count = run_clean(&script, strike.without_dsync, kinds);
    if (nth == 0 || nth > count) return;
    strike.kind = (enum call_kind)kinds[nth - 1];
    printf("call %llu: %s\n", nth, call_names[strike.kind]);
    run_case(&script, &strike);
}

static void work(unsigned worker, unsigned workers, void *ctx)
{
    (void)ctx;
    struct share share = {worker, workers, 0};
    choose_path(worker);
    make_aged();
    if (settings->only != NULL) {
        run_only(settings->only);
    } else {
        sweep_all(false, &share);
        sweep_all(true, &share);
    }
    struct ns__prng prng = {settings->seed};
    while (settings->only == NULL && settings->is_long && !rack_is_late()) {
        struct script script;
        draw_script(&prng, &script);
        sweep_script(&script, true, &share);
    }
    rack_max(FIGURE_STATUSES, (uint64_t)__builtin_popcountll(statuses_seen));
    ref_state_release(aged_state);
    free(aged_bytes);
}

int main(int argc, char **argv)
{
    settings = rack_init("io_faults/system_calls", 60, figure_names, FIGURE_COUNT, argc, argv);
    make_directory();
    int result = rack_run(work, NULL);
    remove_directory();
    return result;
}
