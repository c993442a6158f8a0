/* log.c: records and the log below the database, and replaying them.
 *
 *   encode   operations become a body, the body a chained record, the record an envelope
 *   decode   the way back, with every check that recovery makes
 *   append   an envelope is written at the end of a log; what is behind 8 MiB is trimmed
 *   read     ns_log_next over the records of a database
 *   apply    ns_log_apply of another database's records: a replica's rate
 *
 * n1, n100: puts in a record, of 16-byte keys and 100-byte values. Items are records. Recovery, the
 * other way to replay, is in open.c (open/unclean). */
#include "suites/all.h"

#include <stdlib.h>
#include <string.h>

#include "common/world.h"
#include "db/db.h"

#define BODY_MAX 65536u
#define KEY_MAX 1024u
#define FEED_RECORDS 400u
#define FEED_PUTS 100u
#define FEED_ENTRIES 100000u
#define KEPT_BYTES (UINT64_C(8) << 20)

static const uint8_t uuid[NS__UUID_BYTES] = "0123456789abcde";

/* ---- one record ---- */

struct parcel {
    uint64_t puts;
    uint8_t keys[1000][DATA_KEY_BYTES];
    uint8_t value[WORLD_VALUE_BYTES];
    uint8_t previous[NS__CHAIN_BYTES];
    uint8_t bytes[NS__ENVELOPE_BYTES + NS__RECORD_BYTES + BODY_MAX];
    size_t payload_bytes;
};

static struct parcel *parcel_new(uint64_t puts)
{
    struct parcel *parcel = calloc(1, sizeof *parcel);
    if (parcel == NULL) bench_die("a record", NS_NOMEM);
    parcel->puts = puts;
    for (uint64_t i = 0; i < puts; i++)
        data_key_ascending(i, parcel->keys[i]);
    data_value(1, sizeof parcel->value, parcel->value);
    return parcel;
}

static size_t encode_body(const struct parcel *parcel, uint8_t *out)
{
    size_t used = 0;
    for (uint64_t i = 0; i < parcel->puts; i++) {
        struct ns_op op = {.kind = NS_OP_PUT,
                           .key = ns_bytes(parcel->keys[i], DATA_KEY_BYTES),
                           .value = ns_bytes(parcel->value, sizeof parcel->value)};
        used += ns__op_encode(&op, out + used);
    }
    return used;
}

static void encode_one(struct parcel *parcel)
{
    uint8_t *record_at = parcel->bytes + NS__ENVELOPE_BYTES,
            *body_at = record_at + NS__RECORD_BYTES;
    size_t body_bytes = encode_body(parcel, body_at);
    struct ns__record record = {
        .txn_id = 2, .unix_us = 1, .op_count = parcel->puts, .body = ns_bytes(body_at, body_bytes)};
    ns__record_encode(&record, parcel->previous, record_at);
    parcel->payload_bytes = (size_t)ns__record_padded(record.size);
    memset(record_at + record.size, 0, parcel->payload_bytes - (size_t)record.size);
    struct ns__envelope envelope = {.epoch = 1, .payload_bytes = parcel->payload_bytes};
    struct ns__hash_piece payload = {record_at, parcel->payload_bytes};
    ns__envelope_encode(uuid, 4096, &envelope, &payload, 1, parcel->bytes);
}

static void encode(struct bench *b)
{
    struct parcel *parcel = parcel_new((uint64_t)bench_arg(b, 0));
    while (bench_next(b)) {
        encode_one(parcel);
        bench_keep(parcel->bytes[0]);
    }
    bench_figure(b, "record_B", (double)parcel->payload_bytes);
    free(parcel);
}

static void decode_one(const struct parcel *parcel)
{
    struct ns__envelope envelope;
    const uint8_t *record_at = parcel->bytes + NS__ENVELOPE_BYTES;
    struct ns__hash_piece payload = {record_at, parcel->payload_bytes};
    struct ns__record record;
    uint64_t ops;
    if (!ns__envelope_peek(parcel->bytes, &envelope) ||
        !ns__envelope_check(uuid, 4096, parcel->bytes, &payload, 1)) {
        bench_die("decode", NS_CORRUPT);
    }
    BENCH_CHECK(
        ns__record_decode(ns_bytes(record_at, parcel->payload_bytes), parcel->previous, &record));
    BENCH_CHECK(ns__body_check(record.body, KEY_MAX, &ops));
    bench_keep(ops);
}

static void decode(struct bench *b)
{
    struct parcel *parcel = parcel_new((uint64_t)bench_arg(b, 0));
    encode_one(parcel);
    while (bench_next(b))
        decode_one(parcel);
    bench_figure(b, "record_B", (double)parcel->payload_bytes);
    free(parcel);
}

/* ---- appending ---- */

/* A log in a file with a space, and no database on it. */
struct rig {
    ns_options options;
    const char *path;
    struct ns__alloc alloc;
    struct ns__pager *pager;
    struct ns__log *log;
};

static void rig_open(struct bench *b, enum bench_disk disk, struct rig *rig)
{
    *rig = (struct rig){0};
    bench_options(b, disk, &rig->options);
    rig->path = disk == BENCH_FILES ? bench_path(b) : "log.ns";
    const struct ns_vfs *vfs = rig->options.vfs;
    struct ns__file file = {.vfs = vfs, .page_size = NS__PAGE_SIZE_MIN};
    memcpy(file.uuid, uuid, sizeof file.uuid);
    BENCH_CHECK(vfs->open(vfs->ctx, rig->path, NS_VFS_CREATE, &file.handle));
    ns__alloc_init(&rig->alloc, rig->options.allocator);
    struct ns__pager_options pager_options = {.frame_bytes = 1 << 20, .holder_max = 4};
    BENCH_CHECK(ns__pager_create(&file, &rig->alloc, &pager_options, &rig->pager));
    struct ns__log_options log_options = {.extent_bytes = NS__DEFAULT_CHECKPOINT_BYTES / 8};
    BENCH_CHECK(ns__log_create(&rig->pager->file, &rig->pager->space, &rig->alloc, &log_options,
                               &rig->log));
}

static void rig_close(struct rig *rig)
{
    const struct ns_vfs *vfs = rig->options.vfs;
    struct ns_vfs_file *handle = rig->pager->file.handle;
    ns__log_free(rig->log);
    ns__pager_free(rig->pager);
    vfs->close(vfs->ctx, handle);
    BENCH_CHECK(vfs->remove(vfs->ctx, rig->path));
}

static void append_one(struct rig *rig, const struct parcel *parcel)
{
    struct ns__hash_piece piece = {parcel->bytes + NS__ENVELOPE_BYTES, parcel->payload_bytes};
    uint64_t end;
    BENCH_CHECK(ns__log_reserve(rig->log, parcel->payload_bytes, false));
    BENCH_CHECK(ns__log_append(rig->log, &piece, 1, true, &end));
    if (end - ns__log_start(rig->log) > KEPT_BYTES) BENCH_CHECK(ns__log_trim(rig->log, end));
}

/* arguments: puts, disk. */
static void append(struct bench *b)
{
    struct parcel *parcel = parcel_new((uint64_t)bench_arg(b, 0));
    struct rig rig;
    encode_one(parcel);
    rig_open(b, (enum bench_disk)bench_arg(b, 1), &rig);
    bool is_durable = bench_arg(b, 1) == BENCH_FILES;
    while (bench_next(b)) {
        uint64_t began = is_durable ? bench_now_ns() : 0;
        append_one(&rig, parcel);
        if (is_durable) bench_sample(b, bench_now_ns() - began);
    }
    bench_figure(b, "record_B", (double)parcel->payload_bytes);
    rig_close(&rig);
    free(parcel);
}

/* ---- replaying ---- */

/* A database with records that follow its image; made once. */
static struct feed {
    struct world world;
    uint64_t first; /* the id before the first record */
    ns_slice records[FEED_RECORDS];
    bool is_made;
} feed;

static void copy_record(const struct ns_commit *commit, ns_slice *out)
{
    void *copy = malloc(commit->bytes.size);
    if (copy == NULL) bench_die("a record", NS_NOMEM);
    memcpy(copy, commit->bytes.data, commit->bytes.size);
    *out = ns_bytes(copy, commit->bytes.size);
}

static uint64_t newest_txn(ns_db *db)
{
    ns_db_stats_t stats;
    BENCH_CHECK(ns_db_stats(db, &stats, sizeof stats));
    return stats.txn_id;
}

static void feed_make(struct bench *b)
{
    if (feed.is_made) return;
    feed.is_made = true;
    struct world_plan plan = {.entries = FEED_ENTRIES, .checkpoint_bytes = UINT64_C(1) << 40};
    world_open(b, &plan, &feed.world);
    feed.first = newest_txn(feed.world.db);
    struct ns__prng prng = {1};
    for (uint32_t i = 0; i < FEED_RECORDS; i++)
        world_overwrite(&feed.world, &prng, FEED_PUTS);
    ns_log *log;
    BENCH_CHECK(ns_log_open(feed.world.db, feed.first, &log));
    for (uint32_t i = 0; i < FEED_RECORDS; i++) {
        struct ns_commit commit;
        BENCH_CHECK(ns_log_next(log, &commit));
        copy_record(&commit, &feed.records[i]);
    }
    ns_log_close(log);
}

static void read_log(struct bench *b)
{
    feed_make(b);
    ns_log *log;
    struct ns_commit commit;
    BENCH_CHECK(ns_log_open(feed.world.db, feed.first, &log));
    bench_watch(b, feed.world.db);
    while (bench_next(b)) {
        ns_status status = ns_log_next(log, &commit);
        if (status == NS_NOTFOUND) {
            ns_log_close(log);
            BENCH_CHECK(ns_log_open(feed.world.db, feed.first, &log));
            status = ns_log_next(log, &commit);
        }
        BENCH_CHECK(status);
        bench_keep(commit.op_count);
    }
    ns_log_close(log);
}

static void apply(struct bench *b)
{
    feed_make(b);
    struct world_plan plan = {.entries = FEED_ENTRIES};
    struct world replica;
    size_t next = 0;
    world_open(b, &plan, &replica);
    bench_watch(b, replica.db);
    while (bench_next(b)) {
        if (next == FEED_RECORDS) {
            world_refresh(&replica);
            next = 0;
        }
        BENCH_CHECK(ns_log_apply(replica.db, feed.records[next++]));
    }
    world_close(&replica);
}

void suite_log(void)
{
    static const struct bench_entry rows[] = {
        {"log/encode/n1", encode, {.args = {1}}},
        {"log/encode/n100", encode, {.args = {100}}},
        {"log/decode/n1", decode, {.args = {1}}},
        {"log/decode/n100", decode, {.args = {100}}},
        {"log/append/n1",
         append,
         {.args = {1, BENCH_MEMORY}, .iterations = 1000, .is_gated = true}},
        {"log/append/n100", append, {.args = {100, BENCH_MEMORY}}},
        {"log/append/n1_durable", append, {.args = {1, BENCH_FILES}}},
        {"log/append/n100_durable", append, {.args = {100, BENCH_FILES}}},
        {"log/read/n100", read_log, {.args = {0}}},
        {"log/apply/n100", apply, {.args = {0}}},
    };
    BENCH_ADD_ROWS(rows);
}
