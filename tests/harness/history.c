/* history.c: keys, values and text of histories; history_generate.c makes them. */
#include "harness/history.h"

#include <stdlib.h>
#include <string.h>

struct kind {
    const char *name;
    const char *params; /* separated by spaces */
};

static const struct kind kinds[HISTORY_KINDS] = {
#define HISTORY_KIND(name, params) {#name, params},
    HISTORY_STEPS(HISTORY_KIND)
#undef HISTORY_KIND
};

const char *const history_shape_names[HISTORY_SHAPES] = {
    "ascending", "scattered", "long_prefix", "zeros", "ones", "tiny", "heads", "deep"};

const char *history_kind_name(enum history_kind kind)
{
    return kinds[kind].name;
}

/* ---- the list ---- */

void history_init(struct history *history)
{
    memset(history, 0, sizeof *history);
}

void history_deinit(struct history *history)
{
    free(history->steps);
    history_init(history);
}

void history_append(struct history *history, const struct history_step *step)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity * 2 + 64;
        history->steps = realloc(history->steps, history->capacity * sizeof *history->steps);
        if (history->steps == NULL) abort();
    }
    history->steps[history->count++] = *step;
}

void history_copy(struct history *to, const struct history *from)
{
    history_init(to);
    to->config = from->config;
    for (size_t i = 0; i < from->count; i++)
        history_append(to, &from->steps[i]);
}

/* ---- keys and values ---- */

static void fill_noise(uint64_t seed, uint8_t *out, size_t size)
{
    struct ns__prng prng = {seed};
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = ns__prng_next(&prng);
        memcpy(out + i, &word, size - i < 8 ? size - i : 8);
    }
}

/* The last bytes of out become the big-endian number. */
static void put_number(uint8_t *out, size_t size, uint64_t number)
{
    for (size_t i = 0; i < 8 && i < size; i++)
        out[size - 1 - i] = (uint8_t)(number >> (8 * i));
}

/* A number in front, so that the order of keys is that of the numbers, then filler. */
static size_t key_ascending(uint64_t index, size_t size, uint8_t *out)
{
    memset(out, 'p', size);
    put_number(out, size < 8 ? size : 8, index);
    return size;
}

/* One, two, three ... equal bytes; the last one may differ. */
static size_t key_run(uint64_t index, size_t size, uint8_t byte, uint8_t *out)
{
    size_t own = 1 + (size_t)(index / 3) % size;
    memset(out, byte, own);
    if (index % 3 > 0) out[own - 1] ^= (uint8_t)(index % 3);
    return own;
}

static size_t key_tiny(uint64_t index, size_t size, uint8_t *out)
{
    static const uint8_t letters[] = {0x00, 0x01, 0x61, 0x7f, 0x80, 0xfe, 0xff};
    size_t own = 0;
    do {
        out[own++] = letters[index % sizeof letters];
        index /= sizeof letters;
    } while (index > 0 && own < size);
    return own;
}

/* Keys that end around their fourth byte, among longer ones with the same first bytes. */
static size_t key_heads(uint64_t index, size_t size, uint8_t *out)
{
    size_t own = index % 7 == 0 ? size : 3 + (size_t)(index % 3);
    if (own > size) own = size;
    memset(out, 'h', own);
    if (own > 2) out[2] = (uint8_t)(index / 3);
    if (own > 12) put_number(out, own, index);
    return own;
}

/* Groups of four keys that agree in nearly all of their bytes: separators are as long as keys. */
static size_t key_deep(uint64_t index, size_t size, uint8_t *out)
{
    fill_noise(index / 4, out, size);
    out[size - 1] = (uint8_t)(index % 4);
    return size;
}

size_t history_key(uint64_t shape, uint64_t index, uint64_t size_wanted, uint8_t *out)
{
    size_t size = size_wanted > HISTORY_KEY_MAX ? HISTORY_KEY_MAX : (size_t)size_wanted;
    if (size == 0) return 0;
    switch (shape % HISTORY_SHAPES) {
    case 0: return key_ascending(index, size, out);
    case 1: fill_noise(index ^ 0x5ca77e4edu, out, size); return size;
    case 2:
        memset(out, 'c', size);
        put_number(out, size, index);
        return size;
    case 3: return key_run(index, size, 0x00, out);
    case 4: return key_run(index, size, 0xff, out);
    case 5: return key_tiny(index, size, out);
    case 6: return key_heads(index, size, out);
    default: return key_deep(index, size, out);
    }
}

void history_value(uint64_t value, size_t bytes, uint8_t *out)
{
    fill_noise(value * 0x2545f4914f6cdd1du + bytes, out, bytes);
}

/* ---- text ---- */

/* Copies the next word of a list of words; false at its end. */
static bool next_word(const char **list, char *word, size_t word_size)
{
    size_t used = 0;
    while (**list == ' ')
        (*list)++;
    while (**list != '\0' && **list != ' ' && **list != '\n') {
        if (used + 1 < word_size) word[used++] = **list;
        (*list)++;
    }
    word[used] = '\0';
    return used > 0;
}

/* One setting; on a new line if this one is full. */
static size_t print_setting(FILE *out, const char *name, uint64_t value, size_t used)
{
    char text[64];
    int size = snprintf(text, sizeof text, " %s=%llu", name, (unsigned long long)value);
    if (used + (size_t)size > 90) used = (size_t)fprintf(out, "%sconfig", used == 100 ? "" : "\n");
    fputs(text, out);
    return used + (size_t)size;
}

void history_print(const struct history *history, FILE *out)
{
    size_t used = 100;
#define HISTORY_PRINT(name) used = print_setting(out, #name, history->config.name, used);
    HISTORY_CONFIG(HISTORY_PRINT)
#undef HISTORY_PRINT
    fprintf(out, "\n");
    for (size_t i = 0; i < history->count; i++) {
        const struct history_step *step = &history->steps[i];
        const char *params = kinds[step->kind].params;
        char word[32];
        fprintf(out, "%s", kinds[step->kind].name);
        for (size_t p = 0; next_word(&params, word, sizeof word); p++) {
            fprintf(out, " %s=%llu", word, (unsigned long long)step->p[p]);
        }
        fprintf(out, "\n");
    }
}

/* "name=number" */
static bool split_setting(char *word, uint64_t *number_out)
{
    char *equals = strchr(word, '=');
    char *end;
    if (equals == NULL) return false;
    *equals = '\0';
    *number_out = strtoull(equals + 1, &end, 10);
    return end != equals + 1 && *end == '\0';
}

static bool parse_config(struct history_config *config, const char *line)
{
    char word[64];
    uint64_t number;
    while (next_word(&line, word, sizeof word)) {
        bool is_known = false;
        if (!split_setting(word, &number)) return false;
#define HISTORY_READ(name)                                                                         \
    if (strcmp(word, #name) == 0) {                                                                \
        config->name = number;                                                                     \
        is_known = true;                                                                           \
    }
        HISTORY_CONFIG(HISTORY_READ)
#undef HISTORY_READ
        if (!is_known) return false;
    }
    return true;
}

static bool parse_step(struct history *history, const char *name, const char *line)
{
    struct history_step step = {HISTORY_KINDS, {0}};
    char word[64];
    char param[32];
    for (unsigned k = 0; k < HISTORY_KINDS; k++) {
        if (strcmp(kinds[k].name, name) == 0) step.kind = (enum history_kind)k;
    }
    if (step.kind == HISTORY_KINDS) return false;
    while (next_word(&line, word, sizeof word)) {
        const char *params = kinds[step.kind].params;
        uint64_t number;
        size_t p = 0;
        if (!split_setting(word, &number)) return false;
        while (next_word(&params, param, sizeof param) && strcmp(param, word) != 0)
            p++;
        if (strcmp(param, word) != 0) return false;
        step.p[p] = number;
    }
    history_append(history, &step);
    return true;
}

size_t history_parse(struct history *history, FILE *in)
{
    char line[1024];
    char name[64];
    size_t number = 0;
    while (fgets(line, sizeof line, in) != NULL) {
        const char *rest = line;
        number++;
        line[strcspn(line, "#\r\n")] = '\0';
        if (!next_word(&rest, name, sizeof name)) continue;
        bool is_good = strcmp(name, "config") == 0 ? parse_config(&history->config, rest)
                                                   : parse_step(history, name, rest);
        if (!is_good) return number;
    }
    return 0;
}
