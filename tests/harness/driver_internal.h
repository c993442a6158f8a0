/* driver_internal.h: what the files of the driver share: driver.c (opening, crashing, committing),
 * driver_steps.c (reading and changing), driver_cursor.c, driver_log.c. */
#ifndef NS_TESTS_HARNESS_DRIVER_INTERNAL_H
#define NS_TESTS_HARNESS_DRIVER_INTERNAL_H

#include <setjmp.h>

#include <northstar.h>
#include <northstar/log.h>
#include "harness/driver.h"
#include "harness/reference.h"
#include "vfs/mem.h"

#define DRIVER_READERS 4u
#define DRIVER_CURSORS 6u
#define DRIVER_NAMES 8u
#define DRIVER_PATH "model.ns"
#define DRIVER_VALUE_MAX ((size_t)1 << 20)

extern const char *const driver_names[DRIVER_NAMES]; /* [0] is keyspace 0 */

/* What is known of a committed transaction, by its id. */
struct driver_info {
    uint8_t hash[16];
    uint8_t chain[32];
    bool has_chain;
    int64_t unix_us;
    uint64_t note_seed;
    size_t note_bytes;
};

struct driver_reader {
    ns_txn *txn;
    struct ref_state *state; /* NULL while parked */
};

enum driver_where { CURSOR_BEFORE, CURSOR_ON, CURSOR_AFTER, CURSOR_LOST };

struct driver_cursor {
    ns_cursor *cursor;
    uint64_t who;
    ns_keyspace keyspace;
    bool is_detached; /* its transaction ended: every call is NS_INVALID */
    enum driver_where where;
    uint8_t key[HISTORY_KEY_MAX], from[HISTORY_KEY_MAX], to[HISTORY_KEY_MAX];
    size_t key_size, from_size, to_size;
};

/* How an armed stop of the world is to be read. */
struct driver_cut {
    bool is_kill;
    uint32_t atom;
    uint64_t keep, seed, again;
};

struct driver {
    const struct history *history;
    const struct driver_options *options;
    struct driver_figures *figures;
    const struct history_step *step;
    size_t step_index;
    jmp_buf failed;      /* the library disagrees */
    jmp_buf interrupted; /* the world stopped in the middle of the step */
    char text[DRIVER_TEXT_BYTES];

    struct ns__mem *mem;
    ns_options open_with;
    ns_db *db;

    /* Committed states, ascending ids: from the newest that is surely durable to the newest. */
    struct ref_state **states;
    size_t state_count, state_capacity;
    struct ref_state *unknown; /* its commit answered NS_UNKNOWN */
    uint64_t durable;          /* newest id that no power cut may take back */
    struct driver_info *infos; /* by id */
    size_t info_capacity;
    struct driver_info next_info;
    bool keeps_all; /* the log must go back to the first transaction */

    ns_txn *write;
    struct ref_state *working;
    bool has_changed; /* some change through `write` succeeded */
    bool has_failed;  /* a change through it failed: commit must refuse */
    struct driver_reader readers[DRIVER_READERS];
    struct driver_cursor cursors[DRIVER_CURSORS];
    ns_log *log;
    uint64_t log_next;
    uint64_t puts;

    /* Held by a step in progress, so that an interrupted one leaves nothing behind. */
    ns_txn *passing_txn;
    ns_log *passing_log;
    ns_db *replica;
    struct ref_state *passing_state;

    struct driver_cut cut;
    bool has_fault;                 /* armed since the database was opened */
    bool is_limited;                /* a capacity is set */
    bool is_poisoned;               /* a commit or checkpoint said so */
    uint8_t *key_a, *key_b, *value; /* scratch */
};

/* ---- judging (driver.c) ---- */

_Noreturn void driver_fail(struct driver *driver, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* status must be wanted, unless the world stopped. */
void driver_expect(struct driver *driver, ns_status status, ns_status wanted, const char *what);
/* The check's answer must be true, unless the world stopped. */
void driver_agree(struct driver *driver, bool agrees, const char *what, const char *text);
void driver_interrupt_if_stopped(struct driver *driver);

struct ref_state *driver_newest(struct driver *driver);
struct ref_state *driver_state(struct driver *driver, uint64_t txn_id); /* NULL: not kept */
struct driver_info *driver_info_of(struct driver *driver, uint64_t txn_id);

/* The transaction and state that `who` names; false if there is none. A parked reader has no state.
 */
bool driver_view(struct driver *driver, uint64_t who, ns_txn **txn_out,
                 struct ref_state **state_out);
ns_keyspace driver_keyspace(const struct ref_state *state, uint64_t ks);
uint32_t driver_page_size(const struct driver *driver);
size_t driver_key_max(const struct driver *driver);

/* The three scratch buffers' fillers. */
ns_slice driver_key(struct driver *driver, const uint64_t shape_index_size[3]);
ns_slice driver_key_in(const uint64_t shape_index_size[3], uint8_t *buffer);
ns_slice driver_value_of(struct driver *driver, uint64_t value, uint64_t bytes);

/* ---- steps ---- */

void driver_step_data(struct driver *driver, const struct history_step *step); /* driver_steps.c */
void driver_step_cursor(struct driver *driver,
                        const struct history_step *step);                     /* driver_cursor.c */
void driver_step_log(struct driver *driver, const struct history_step *step); /* driver_log.c */

void driver_cursors_detach(struct driver *driver, uint64_t who);
void driver_cursors_lose(struct driver *driver, uint64_t who, ns_keyspace keyspace);
void driver_cursors_close(struct driver *driver);

#endif /* NS_TESTS_HARNESS_DRIVER_INTERNAL_H */
