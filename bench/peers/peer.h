/* peer.h: what a store must be able to do to be measured beside the others.
 *
 * One file per store gives one `struct peer`; each is linked with the same workloads into a program
 * of its own, bench_peer_NAME. The store calls the functions of the store it wraps in the way its
 * manual calls the fast one, and nothing else: no caching, no batching of its own.
 *
 * Keys are PEER_KEY_BYTES long, values at least 8 bytes. A store that fails prints why and ends the
 * process (peer_die): a benchmark has no use for half a result.
 *
 * Threads: one session per thread. A session has at most one snapshot and one batch at a time. */
#ifndef NS_BENCH_PEERS_PEER_H
#define NS_BENCH_PEERS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PEER_KEY_BYTES 16u
#define PEER_MANY 64u /* keys of one get_many */

struct peer_config {
    const char *dir;    /* exists; the store puts its files there and nowhere else */
    bool is_durable;    /* a commit returns when it is on stable storage */
    bool keeps_history; /* NorthstarDB's default history; the others have no such thing */
};

struct peer_value {
    const void *data; /* valid until the session's next call */
    size_t size;
};

struct peer_range {
    const uint8_t *from; /* first key wanted; NULL: from the end that the direction begins with */
    bool is_backward;    /* only with from == NULL */
    uint64_t limit;      /* entries */
};

struct peer {
    const char *name, *title;
    const char *settings; /* what differs from the store's defaults */
    const char *reason;   /* and why */
    const char *(*version)(void);

    void *(*open)(const struct peer_config *config); /* creates what is not there */
    void (*close)(void *db);
    void (*settle)(void *db);         /* never timed: all that makes later reads faster */
    uint64_t (*tree_bytes)(void *db); /* NULL: the store cannot say */

    void *(*session_open)(void *db);
    void (*session_close)(void *session);

    void (*snapshot_open)(void *session);
    void (*snapshot_close)(void *session);
    void (*snapshot_park)(void *session); /* both NULL: the store knows no parked snapshot */
    void (*snapshot_renew)(void *session);

    /* Inside a snapshot. False: not found. */
    bool (*get)(void *session, const uint8_t *key, struct peer_value *value_out);
    /* Outside of any: the store's fastest read of the newest state. */
    bool (*get_fresh)(void *session, const uint8_t *key, struct peer_value *value_out);
    /* Adds peer_word of each value found to *sum; the number found. NULL: one get after another. */
    size_t (*get_many)(void *session, size_t count, const uint8_t *const keys[], uint64_t *sum);
    /* Inside a snapshot. Adds peer_word of each key and of each value to *sum; the entries seen. */
    uint64_t (*scan)(void *session, const struct peer_range *range, uint64_t *sum);

    void (*write_begin)(void *session);
    void (*put)(void *session, const uint8_t *key, const void *value, size_t size);
    void (*del)(void *session, const uint8_t *key);
    void (*write_commit)(void *session);
};

/* Every store file defines it. */
extern const struct peer peer_store;

__attribute__((noreturn, format(printf, 1, 2))) void peer_die(const char *format, ...);

void *peer_alloc(size_t bytes); /* zeroed; free it */
/* "DIR/NAME", in one of four buffers of this thread. */
const char *peer_path(const char *dir, const char *name);

/* Proof that the bytes were fetched, and that all stores gave the same ones. */
static inline uint64_t peer_word(const void *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

#endif
