/* text.h: bytes, numbers and times as people and programs read them. */
#ifndef NS_TOOLS_TEXT_H
#define NS_TOOLS_TEXT_H

#include <northstar.h>

#include <stdbool.h>
#include <stdio.h>

/* How byte strings are shown. */
enum text_form {
    TEXT_ESCAPED, /* UTF-8 as it is; \\ \n \r \t and \xNN for the rest: one line, no doubt */
    TEXT_HEX,
    TEXT_RAW
};

void text_write(FILE *out, enum text_form form, ns_slice bytes);
/* A name from outside in a message: escaped, and cut if it is long. Returns out. */
#define TEXT_NAME_BYTES 256
char *text_name(const char *name, char out[TEXT_NAME_BYTES]);

void text_write_hex(FILE *out, const void *data, size_t size);

/* A member of a JSON object: "name":"text" if the bytes are UTF-8 (and as_hex is false), otherwise
 * "name_hex":"digits". No comma. */
void text_write_json(FILE *out, const char *name, ns_slice bytes, bool as_hex);
void text_write_json_string(FILE *out, const char *text); /* with quotes; not UTF-8: \ufffd */

/* The length in bytes of the valid UTF-8 sequence at the start of the bytes, 0 if there is none. */
size_t text_utf8_size(const uint8_t *bytes, size_t size);

/* Hexadecimal digits in pairs, either case. out needs strlen(digits) / 2 bytes. */
bool text_parse_hex(const char *digits, uint8_t *out);
bool text_parse_number(const char *digits, uint64_t *number_out);

/* Formatted into the caller's buffer, which is returned. */
#define TEXT_NUMBER_BYTES 40
char *text_count(uint64_t count, char out[TEXT_NUMBER_BYTES]); /* 12,345 */
char *text_size(uint64_t bytes, char out[TEXT_NUMBER_BYTES]);  /* 1.2 MB; decimal units */
char *text_time(int64_t unix_us, char out[TEXT_NUMBER_BYTES]); /* 2026-01-31T12:00:00.000000Z */
char *text_duration(uint64_t ns, char out[TEXT_NUMBER_BYTES]); /* 1.2 ms */

/* Monotonic clock. */
uint64_t text_now_ns(void);

#endif
