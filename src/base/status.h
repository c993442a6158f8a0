/* status.h: failures and their explanation. The explanation is text in a fixed buffer per thread,
 * built outside-in without allocating: the place of the first cause calls ns__error, every layer
 * that knows more calls ns__error_prefix on the way out. Cleanup must not overwrite the first
 * cause: see ns__error_save. */
#ifndef NS_BASE_STATUS_H
#define NS_BASE_STATUS_H

#include <stdbool.h>
#include <northstar.h>

#define NS__ERROR_DETAIL_BYTES 512
#define NS__ERROR_CONFLICT_KEY_BYTES 1024

#define NS_TRY(call)                                                                               \
    do {                                                                                           \
        ns_status try_status_ = (call);                                                            \
        if (try_status_ != NS_OK) return try_status_;                                              \
    } while (0)

/* Sets this thread's detail to the formatted text and returns status. A text that does not fit is
 * cut. Forgets any conflict. status must not be NS_OK or NS_NOTFOUND. */
ns_status ns__error(ns_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "text: " before this thread's detail. */
void ns__error_prefix(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The one door for corruption: sets the detail to "page N: text" (page UINT64_MAX: "text") and
 * returns NS_CORRUPT. Put a breakpoint here. */
ns_status ns__corrupt(uint64_t page, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets detail and conflict and returns NS_CONFLICT. The key is copied (its first 1,024 bytes). */
ns_status ns__error_conflict_set(ns_slice key, uint64_t txn_id);

void ns__error_clear(void);

/* Detail and conflict, as one value. The bytes of the key behind its size are not set. */
struct ns__error_saved {
    char text[NS__ERROR_DETAIL_BYTES];
    bool is_conflict;
    size_t key_size;
    uint64_t txn_id;
    uint8_t key[NS__ERROR_CONFLICT_KEY_BYTES];
};

/* Keep the first cause over a cleanup that may fail too. */
void ns__error_save(struct ns__error_saved *saved_out);
void ns__error_restore(const struct ns__error_saved *saved);

#endif
