/* text.c: bytes, numbers and times as people and programs read them.
 *
 * What is printed may come from anybody, so nothing reaches a terminal that is not valid UTF-8, and
 * no control character does (except with --raw, which is meant for files and pipes). Escaped text
 * holds no newline and no tab, so a line is a record and a tab ends a field. JSON output is valid
 * whatever the bytes are: what is no UTF-8 goes out as hexadecimal digits under another name. */
#include "text.h"

#include <string.h>
#include <time.h>

static const char hex_digits[] = "0123456789abcdef";

/* ---- UTF-8 ---- */

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
size_t text_utf8_size(const uint8_t *bytes, size_t size)
{
    if (size == 0) return 0;
    uint8_t first = bytes[0];
    if (first < 0x80) return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size < length) return 0;
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) return 0;
    }
    if (first == 0xe0 && bytes[1] < 0xa0) return 0;
    if (first == 0xed && bytes[1] > 0x9f) return 0;
    if (first == 0xf0 && bytes[1] < 0x90) return 0;
    if (first == 0xf4 && bytes[1] > 0x8f) return 0;
    return length;
}

static bool is_utf8(ns_slice bytes)
{
    const uint8_t *at = bytes.data;
    for (size_t left = bytes.size; left > 0;) {
        size_t length = text_utf8_size(at, left);
        if (length == 0) return false;
        at += length;
        left -= length;
    }
    return true;
}

/* What a terminal may be shown as it is: printable ASCII, and UTF-8 outside the control characters
 * U+0080 to U+009F. */
static size_t printable_size(const uint8_t *at, size_t left)
{
    size_t length = text_utf8_size(at, left);
    if (length == 1 && (at[0] < 0x20 || at[0] == 0x7f || at[0] == '\\')) return 0;
    if (length == 2 && at[0] == 0xc2 && at[1] < 0xa0) return 0;
    return length;
}

/* ---- byte strings ---- */

static void write_escape(FILE *out, uint8_t byte)
{
    switch (byte) {
    case '\\': fputs("\\\\", out); break;
    case '\n': fputs("\\n", out); break;
    case '\r': fputs("\\r", out); break;
    case '\t': fputs("\\t", out); break;
    default: fprintf(out, "\\x%02x", byte); break;
    }
}

static void write_escaped(FILE *out, ns_slice bytes)
{
    const uint8_t *at = bytes.data;
    for (size_t left = bytes.size; left > 0;) {
        size_t length = printable_size(at, left);
        if (length > 0) {
            fwrite(at, 1, length, out);
        } else {
            write_escape(out, *at);
            length = 1;
        }
        at += length;
        left -= length;
    }
}

char *text_name(const char *name, char out[TEXT_NAME_BYTES])
{
    const uint8_t *at = (const uint8_t *)name;
    size_t left = strlen(name), size = 0;
    while (left > 0 && size + 8 < TEXT_NAME_BYTES) { /* room for one more, "..." and the NUL */
        size_t length = printable_size(at, left);
        if (length > 0) {
            memcpy(out + size, at, length);
            size += length;
        } else {
            size += (size_t)snprintf(out + size, TEXT_NAME_BYTES - size, "\\x%02x", *at);
            length = 1;
        }
        at += length;
        left -= length;
    }
    snprintf(out + size, TEXT_NAME_BYTES - size, "%s", left > 0 ? "..." : "");
    return out;
}

void text_write_hex(FILE *out, const void *data, size_t size)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++) {
        putc(hex_digits[at[i] >> 4], out);
        putc(hex_digits[at[i] & 15], out);
    }
}

void text_write(FILE *out, enum text_form form, ns_slice bytes)
{
    switch (form) {
    case TEXT_ESCAPED: write_escaped(out, bytes); break;
    case TEXT_HEX: text_write_hex(out, bytes.data, bytes.size); break;
    case TEXT_RAW:
        if (bytes.size > 0) fwrite(bytes.data, 1, bytes.size, out);
        break;
    }
}

/* ---- JSON ---- */

static void write_json_text(FILE *out, ns_slice bytes)
{
    const uint8_t *at = bytes.data;
    putc('"', out);
    for (size_t left = bytes.size; left > 0;) {
        size_t length = text_utf8_size(at, left);
        if (length == 0) {
            fputs("\\ufffd", out);
            length = 1;
        } else if (at[0] == '"' || at[0] == '\\') {
            putc('\\', out);
            putc(at[0], out);
        } else if (at[0] == '\n') {
            fputs("\\n", out);
        } else if (at[0] < 0x20 || at[0] == 0x7f) {
            fprintf(out, "\\u%04x", at[0]);
        } else {
            fwrite(at, 1, length, out);
        }
        at += length;
        left -= length;
    }
    putc('"', out);
}

void text_write_json_string(FILE *out, const char *text)
{
    write_json_text(out, ns_str(text));
}

void text_write_json(FILE *out, const char *name, ns_slice bytes, bool as_hex)
{
    if (as_hex || !is_utf8(bytes)) {
        fprintf(out, "\"%s_hex\":\"", name);
        text_write_hex(out, bytes.data, bytes.size);
        putc('"', out);
    } else {
        fprintf(out, "\"%s\":", name);
        write_json_text(out, bytes);
    }
}

/* ---- parsing ---- */

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

bool text_parse_hex(const char *digits, uint8_t *out)
{
    for (; digits[0] != '\0'; digits += 2) {
        int high = digit_value(digits[0]);
        int low = high < 0 ? -1 : digit_value(digits[1]);
        if (low < 0) return false;
        *out++ = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool text_parse_number(const char *digits, uint64_t *number_out)
{
    uint64_t number = 0;
    *number_out = 0;
    if (*digits == '\0') return false;
    for (; *digits != '\0'; digits++) {
        if (*digits < '0' || *digits > '9') return false;
        uint64_t digit = (uint64_t)(*digits - '0');
        if (number > (UINT64_MAX - digit) / 10) return false;
        number = number * 10 + digit;
    }
    *number_out = number;
    return true;
}

/* ---- numbers and times ---- */

char *text_count(uint64_t count, char out[TEXT_NUMBER_BYTES])
{
    char digits[TEXT_NUMBER_BYTES];
    int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *to = out;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

/* value in the largest unit that leaves at least 1, with three significant digits or so. */
static char *scaled(double value, double step, const char *const units[], size_t unit_count,
                    char out[TEXT_NUMBER_BYTES])
{
    size_t unit = 0;
    while (value >= step && unit + 1 < unit_count) {
        value /= step;
        unit++;
    }
    int decimals = unit == 0 || value >= 100.0 ? 0 : value >= 10.0 ? 1 : 2;
    snprintf(out, TEXT_NUMBER_BYTES, "%.*f %s", decimals, value, units[unit]);
    return out;
}

char *text_size(uint64_t bytes, char out[TEXT_NUMBER_BYTES])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    return scaled((double)bytes, 1000.0, units, sizeof units / sizeof units[0], out);
}

char *text_duration(uint64_t ns, char out[TEXT_NUMBER_BYTES])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    return scaled((double)ns, 1000.0, units, sizeof units / sizeof units[0], out);
}

char *text_time(int64_t unix_us, char out[TEXT_NUMBER_BYTES])
{
    int64_t us = unix_us % 1000000;
    time_t seconds = (time_t)(unix_us / 1000000);
    struct tm parts;
    if (us < 0) {
        us += 1000000;
        seconds -= 1;
    }
    char stamp[TEXT_NUMBER_BYTES - 10];
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        snprintf(out, TEXT_NUMBER_BYTES, "%lld us", (long long)unix_us);
        return out;
    }
    snprintf(out, TEXT_NUMBER_BYTES, "%s.%06dZ", stamp, (int)us);
    return out;
}

uint64_t text_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
