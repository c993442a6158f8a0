/* damaged_log_test.c: a torn tail and damage in the middle are told apart (REC-3, SEM-83).
 *
 * Every envelope carries a watermark: with NS_SYNC_FULL it says that all before it is durable. So
 * for each record i of a file that a kill left: damage in it is NS_CORRUPT if any record follows,
 * and the stated limit if none does (it looks like a commit that was under way); a file that ends
 * within it is the state before it, in silence, unless a meta or log map knows that more was
 * durable. With NS_SYNC_OFF nothing behind the last checkpoint was known to be durable, and the
 * records before the damage are what is found. */
#include "format/small_world.h"

#include "format/envelope.h"
#include "format/logmap.h"
#include "format/meta.h"

#define PAGE 4096u
#define RECORDS 60u

/* A file left by a kill, and where its envelopes lie. */
struct logged {
    struct small small;
    uint8_t *bytes; /* of the file, changed in place */
    size_t size;
    struct ns__logmap map;
    uint64_t known_durable;       /* by metas and log map */
    uint64_t replay, replay_txn;  /* of the newest meta: where recovery begins, and from what */
    uint64_t starts[RECORDS + 1]; /* log offsets of the envelopes, in order */
    uint64_t ends[RECORDS + 1];   /* behind the payload */
    size_t count;
};

static uint64_t position_of(const struct logged *logged, uint64_t log_offset)
{
    for (uint32_t i = 0; i < logged->map.extent_count; i++) {
        const struct ns__extent *extent = &logged->map.extents[i];
        if (log_offset >= extent->log_start && log_offset < extent->log_end)
            return extent->page * PAGE + (log_offset - extent->log_start);
    }
    return UINT64_MAX;
}

static void read_maps(struct logged *logged)
{
    const uint8_t *uuid = logged->bytes + 16;
    struct ns__logmap maps[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct ns__meta meta;
        CHECK_OK(ns__meta_decode(logged->bytes + i * PAGE, i, logged->size, &meta));
        if (meta.log_watermark > logged->known_durable) logged->known_durable = meta.log_watermark;
        if (meta.log_replay >= logged->replay) {
            logged->replay = meta.log_replay;
            logged->replay_txn = meta.txn_id;
        }
        CHECK_OK(ns__logmap_decode(logged->bytes + (2 + i) * PAGE, 2 + i, uuid, PAGE,
                                   logged->size / PAGE, &maps[i]));
    }
    logged->map = maps[maps[1].sequence > maps[0].sequence ? 1 : 0];
    if (logged->map.watermark > logged->known_durable)
        logged->known_durable = logged->map.watermark;
}

/* An envelope header may cross from one extent to the next. */
static void load_header(const struct logged *logged, uint64_t at,
                        uint8_t header[NS__ENVELOPE_BYTES])
{
    for (uint64_t i = 0; i < NS__ENVELOPE_BYTES; i++) {
        uint64_t position = position_of(logged, at + i);
        header[i] = position < logged->size ? logged->bytes[position] : 0;
    }
}

static void find_envelopes(struct logged *logged)
{
    uint64_t at = 0, end = logged->map.extents[logged->map.extent_count - 1].log_end;
    while (at + NS__ENVELOPE_BYTES < end) {
        struct ns__envelope envelope;
        uint8_t header[NS__ENVELOPE_BYTES];
        load_header(logged, at, header);
        if (!ns__envelope_peek(header, &envelope)) {
            at += 8; /* the gap before an envelope that starts a block */
            continue;
        }
        assert_true(logged->count <= RECORDS);
        logged->starts[logged->count] = at;
        at += NS__ENVELOPE_BYTES + envelope.payload_bytes;
        logged->ends[logged->count++] = at;
    }
    assert_int_equal(logged->count, RECORDS);
}

static void make_logged(struct logged *logged, uint64_t seed, ns_sync sync, uint32_t flags)
{
    ns_db *db;
    struct ns__mem *killed;
    memset(logged, 0, sizeof *logged);
    small_init(&logged->small, 0, seed);
    logged->small.with.sync = sync;
    logged->small.with.flags |= flags;
    logged->small.with.checkpoint_bytes = 1 << 20;
    logged->small.with.frame_bytes = 4 << 20;
    CHECK_OK(ns_db_open(SMALL_PATH, &logged->small.with, &db));
    for (unsigned i = 0; i < RECORDS; i++) {
        small_commit(&logged->small, db, 1 + i % 9);
        if (i == RECORDS / 3) CHECK_OK(ns_db_checkpoint(db));
    }
    CHECK_OK(ns__mem_clone(logged->small.mem, &killed));
    CHECK_OK(ns_db_close(db));
    ns__mem_free(logged->small.mem);
    logged->small.mem = killed;
    logged->small.with.vfs = ns__mem_vfs(killed);
    logged->bytes = small_bytes(&logged->small, &logged->size);
    read_maps(logged);
    find_envelopes(logged);
}

/* ---- what must come of it ---- */

/* The damaged file, opened for reading and for writing: refused, or the state of record `wanted`.
 */
static void check(const struct logged *logged, bool is_refused, uint64_t wanted, const char *what,
                  size_t record)
{
    uint64_t id;
    ns_options reading = logged->small.with;
    reading.flags |= NS_RDONLY;
    for (int way = 0; way < 2; way++) {
        enum small_outcome outcome = way == 0 ? small_look(&logged->small, &reading, &id)
                                              : small_look_writing(&logged->small, &id);
        bool is_right = is_refused ? outcome == SMALL_REFUSED && id == UINT64_MAX
                                   : outcome == SMALL_WHOLE && id == wanted;
        if (!is_right)
            fail_msg("%s record %zu: outcome %d, transaction %llu, not %s %llu", what, record + 1,
                     (int)outcome, (unsigned long long)id, is_refused ? "refused" : "the state of",
                     (unsigned long long)wanted);
    }
}

struct figures {
    uint64_t refused, silent, history;
};

/* Records that the newest meta's root holds are not read by recovery: nothing is lost with them but
 * history, and ns_db_verify and readers of the log say so. */
static void check_history(const struct logged *logged, struct figures *figures)
{
    CHECK_STATUS(ns_db_verify(SMALL_PATH, &logged->small.with, NULL, NULL), NS_CORRUPT);
    figures->history++;
}

static void flip_in_record(struct logged *logged, size_t record, uint64_t at, unsigned bit,
                           struct figures *figures)
{
    uint8_t *byte = logged->bytes + position_of(logged, at);
    bool is_full = logged->small.with.sync == NS_SYNC_FULL;
    bool is_known = logged->starts[record] < logged->known_durable;
    bool is_refused = is_known || (is_full && record + 1 < logged->count);
    *byte ^= (uint8_t)(1u << bit);
    if (logged->starts[record] < logged->replay) {
        check(logged, false, logged->small.newest, "flip in", record);
        check_history(logged, figures);
    } else {
        check(logged, is_refused, record, "flip in", record);
        figures->refused += is_refused;
        figures->silent += !is_refused;
    }
    *byte ^= (uint8_t)(1u << bit);
}

/* Zero from this log offset on: what a commit under way may leave, and everything after it. */
static void cut_in_record(struct logged *logged, size_t record, uint64_t at,
                          struct figures *figures)
{
    uint8_t *kept = malloc(logged->size);
    assert_non_null(kept);
    memcpy(kept, logged->bytes, logged->size);
    uint64_t end = logged->map.extents[logged->map.extent_count - 1].log_end;
    for (uint64_t x = at; x < end; x++)
        logged->bytes[position_of(logged, x)] = 0;
    bool is_history = logged->starts[record] < logged->replay;
    uint64_t found_end = is_history ? logged->replay : logged->starts[record];
    bool is_refused = found_end < logged->known_durable;
    check(logged, is_refused, is_history ? logged->replay_txn : record, "cut in", record);
    if (is_history) check_history(logged, figures);
    memcpy(logged->bytes, kept, logged->size);
    free(kept);
    figures->refused += is_refused;
    figures->silent += !is_refused;
}

static void try_every_record(ns_sync sync, uint32_t flags, uint64_t seed)
{
    struct logged logged;
    struct figures flips = {0, 0, 0}, cuts = {0, 0, 0};
    make_logged(&logged, seed, sync, flags);
    for (size_t i = 0; i < logged.count; i++) {
        uint64_t start = logged.starts[i], size = logged.ends[i] - start;
        for (uint64_t part = 0; part < 6; part++) {
            uint64_t at = part < 5 ? start + size * part / 5 : logged.ends[i] - 1;
            flip_in_record(&logged, i, at, (unsigned)(i + part) % 8, &flips);
        }
        for (uint64_t part = 0; part < 3; part++)
            cut_in_record(&logged, i, start + size * part / 3, &cuts);
    }
    print_message("%zu records, sync %u, flags %#x: flips: %llu refused, %llu silent, %llu in "
                  "history; cuts: %llu refused, %llu silent\n",
                  logged.count, sync, flags, (unsigned long long)flips.refused,
                  (unsigned long long)flips.silent, (unsigned long long)flips.history,
                  (unsigned long long)cuts.refused, (unsigned long long)cuts.silent);
    assert_true(flips.silent > 0 && flips.history > 0 && cuts.silent > 0);
    assert_true(sync == NS_SYNC_OFF || flips.refused > 100);
    small_deinit(&logged.small);
}

static void damage_in_a_durable_record_is_told_from_a_torn_tail(void **state)
{
    (void)state;
    try_every_record(NS_SYNC_FULL, 0, 61);
    try_every_record(NS_SYNC_FULL, NS_LOG_PADDED, 62);
}

static void without_syncs_what_lies_before_the_damage_is_found(void **state)
{
    (void)state;
    try_every_record(NS_SYNC_OFF, 0, 63);
    try_every_record(NS_SYNC_OFF, NS_LOG_PADDED, 64);
}

/* What a cut dropped stays dropped, whatever is written after it. */
static void what_was_cut_off_never_comes_back(void **state)
{
    (void)state;
    for (size_t record = RECORDS / 2; record < RECORDS; record += 7) {
        struct logged logged;
        ns_db *db;
        uint64_t id;
        make_logged(&logged, 65, NS_SYNC_FULL, 0);
        for (uint64_t x = logged.starts[record]; x < logged.ends[record]; x++)
            logged.bytes[position_of(&logged, x)] = 0;
        for (size_t i = record + 1; i < RECORDS; i++) /* their heads: none is whole any more */
            logged.bytes[position_of(&logged, logged.starts[i])] ^= 1;
        for (uint64_t old = record + 1; old <= logged.small.newest; old++)
            ref_state_release(logged.small.states[old]);
        logged.small.newest = record;
        logged.small.seed = 66; /* other content under the same ids */
        CHECK_OK(ns_db_open(SMALL_PATH, &logged.small.with, &db));
        for (unsigned i = 0; i < 5; i++) {
            small_commit(&logged.small, db, 5);
            assert_int_equal(small_look_writing(&logged.small, &id), SMALL_WHOLE);
            assert_int_equal(id, record + 1 + i);
        }
        CHECK_OK(ns_db_close(db));
        CHECK_OK(ns_db_verify(SMALL_PATH, &logged.small.with, NULL, NULL));
        small_deinit(&logged.small);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_in_a_durable_record_is_told_from_a_torn_tail),
        cmocka_unit_test(without_syncs_what_lies_before_the_damage_is_found),
        cmocka_unit_test(what_was_cut_off_never_comes_back),
    };
    return cmocka_run_group_tests_name("damaged_log", tests, NULL, NULL);
}
