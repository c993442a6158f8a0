/* status.c: names of statuses, and this thread's explanation of its last failure. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include "base/assert.h"

#define SHOWN_KEY_BYTES 48

static _Thread_local struct ns__error_saved this_thread;

const char *ns_status_name(ns_status status)
{
    switch (status) {
#define STATUS_NAME(name, value, text)                                                             \
    case name: return #name;
        NS_STATUS_TABLE(STATUS_NAME)
#undef STATUS_NAME
    }
    return "NS_?";
}

const char *ns_status_text(ns_status status)
{
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                             \
    case name: return text;
        NS_STATUS_TABLE(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

const char *ns_error_detail(void)
{
    return this_thread.text;
}

ns_status ns_error_conflict(ns_slice *key_out, uint64_t *txn_id_out)
{
    bool conflict = this_thread.is_conflict;
    if (key_out != NULL) {
        *key_out = conflict ? ns_bytes(this_thread.key, this_thread.key_size) : ns_bytes(NULL, 0);
    }
    if (txn_id_out != NULL) *txn_id_out = conflict ? this_thread.txn_id : 0;
    return conflict ? NS_OK : NS_NOTFOUND;
}

/* Formatting goes through a local buffer: the arguments may point into the detail. */
__attribute__((format(printf, 1, 0))) static void set_detail(const char *format, va_list arguments)
{
    char text[NS__ERROR_DETAIL_BYTES];
    if (vsnprintf(text, sizeof text, format, arguments) < 0) text[0] = 0;
    memcpy(this_thread.text, text, sizeof text);
    this_thread.is_conflict = false;
}

/* Puts as much of text as fits behind the first used bytes of detail; returns the bytes used
 * then. */
static size_t append(char detail[NS__ERROR_DETAIL_BYTES], size_t used, const char *text)
{
    size_t size = strlen(text);
    size_t room = NS__ERROR_DETAIL_BYTES - 1 - used;
    if (size > room) size = room;
    memcpy(detail + used, text, size);
    detail[used + size] = 0;
    return used + size;
}

ns_status ns__error(ns_status status, const char *format, ...)
{
    NS_ASSERT(status != NS_OK && status != NS_NOTFOUND);
    va_list arguments;
    va_start(arguments, format);
    set_detail(format, arguments);
    va_end(arguments);
    return status;
}

void ns__error_prefix(const char *format, ...)
{
    char text[NS__ERROR_DETAIL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0) return;
    size_t used = append(text, strlen(text), ": ");
    append(text, used, this_thread.text);
    memcpy(this_thread.text, text, sizeof text);
}

ns_status ns__corrupt(uint64_t page, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_detail(format, arguments);
    va_end(arguments);
    if (page != UINT64_MAX) ns__error_prefix("page %llu", (unsigned long long)page);
    return NS_CORRUPT;
}

/* The start of a key as text: printable bytes as they are, others as \xNN. */
static void show_key(char out[4 * SHOWN_KEY_BYTES + 4], const uint8_t *key, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t shown = size < SHOWN_KEY_BYTES ? size : SHOWN_KEY_BYTES;
    size_t used = 0;
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = key[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '\\' && byte != '"') {
            out[used++] = (char)byte;
        } else {
            out[used++] = '\\';
            out[used++] = 'x';
            out[used++] = digits[byte >> 4];
            out[used++] = digits[byte & 15];
        }
    }
    memcpy(out + used, size > shown ? "..." : "", size > shown ? 4 : 1);
}

ns_status ns__error_conflict_set(ns_slice key, uint64_t txn_id)
{
    size_t size = key.size < NS__ERROR_CONFLICT_KEY_BYTES ? key.size : NS__ERROR_CONFLICT_KEY_BYTES;
    if (size > 0) memmove(this_thread.key, key.data, size);
    char shown[4 * SHOWN_KEY_BYTES + 4];
    show_key(shown, this_thread.key, size);
    (void)ns__error(NS_CONFLICT, "key \"%s\" was changed by transaction %llu", shown,
                    (unsigned long long)txn_id);
    this_thread.is_conflict = true;
    this_thread.key_size = size;
    this_thread.txn_id = txn_id;
    return NS_CONFLICT;
}

void ns__error_clear(void)
{
    this_thread.text[0] = 0;
    this_thread.is_conflict = false;
}

/* Of the key, only what there is. */
static void copy_saved(struct ns__error_saved *to, const struct ns__error_saved *from)
{
    memcpy(to->text, from->text, sizeof to->text);
    to->is_conflict = from->is_conflict;
    to->key_size = from->is_conflict ? from->key_size : 0;
    to->txn_id = from->is_conflict ? from->txn_id : 0;
    if (to->key_size > 0) memcpy(to->key, from->key, to->key_size);
}

void ns__error_save(struct ns__error_saved *saved_out)
{
    copy_saved(saved_out, &this_thread);
}

void ns__error_restore(const struct ns__error_saved *saved)
{
    copy_saved(&this_thread, saved);
}
