/* bytes.c: growing bytes, and keys and values from the command line. */
#include "cli.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_BYTES_MAX 0xffffffffu
#define READ_BYTES 65536u

static void *need(void *memory)
{
    if (memory == NULL) {
        cli_error("out of memory");
        exit(CLI_FAILED);
    }
    return memory;
}

void *cli_alloc(size_t size)
{
    return need(calloc(1, size > 0 ? size : 1));
}

void *cli_resize(void *old, size_t size)
{
    return need(realloc(old, size > 0 ? size : 1));
}

char *cli_copy_string(const char *text)
{
    return need(strdup(text));
}

void cli_free(void *memory)
{
    free(memory);
}

void cli_bytes_free(struct cli_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct cli_bytes){0};
}

void cli_bytes_room(struct cli_bytes *bytes, size_t more)
{
    if (bytes->capacity - bytes->size >= more) return;
    size_t capacity = bytes->capacity + bytes->capacity / 2;
    if (capacity < bytes->size + more) capacity = bytes->size + more;
    bytes->data = cli_resize(bytes->data, capacity);
    bytes->capacity = capacity;
}

int cli_bytes_read(struct cli_bytes *bytes, int fd)
{
    for (;;) {
        cli_bytes_room(bytes, READ_BYTES);
        ssize_t got = read(fd, bytes->data + bytes->size, bytes->capacity - bytes->size);
        if (got == 0) return 0;
        if (got < 0 && errno != EINTR) return errno;
        if (got > 0) bytes->size += (size_t)got;
        if (bytes->size > VALUE_BYTES_MAX) return EFBIG;
    }
}

static int read_file(const char *path, struct cli_bytes *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : cli_bytes_read(bytes, fd);
    if (fd >= 0) close(fd);
    return error == 0 ? CLI_OK : cli_fail_errno(error, "%s", path);
}

static int read_input(struct cli_bytes *bytes)
{
    static bool is_used;
    if (is_used) {
        cli_error("standard input (-) can stand for one argument only");
        return CLI_USAGE;
    }
    is_used = true;
    int error = cli_bytes_read(bytes, STDIN_FILENO);
    return error == 0 ? CLI_OK : cli_fail_errno(error, "standard input");
}

static int parse_digits(const char *digits, struct cli_bytes *bytes)
{
    cli_bytes_room(bytes, strlen(digits) / 2 + 1);
    if (!text_parse_hex(digits, bytes->data)) {
        cli_error("not hexadecimal: %s", digits);
        cli_hint("--hex wants pairs of the digits 0-9 and a-f, for every key and value");
        return CLI_USAGE;
    }
    bytes->size = strlen(digits) / 2;
    return CLI_OK;
}

int cli_argument(const struct cli_args *args, const char *argument, struct cli_bytes *bytes_out)
{
    *bytes_out = (struct cli_bytes){0};
    int code = CLI_OK;
    if (strcmp(argument, "-") == 0) {
        code = read_input(bytes_out);
    } else if (argument[0] == '@' && argument[1] != '@') {
        code = read_file(argument + 1, bytes_out);
    } else if (cli_has(args, CLI_HEX)) {
        code = parse_digits(argument, bytes_out);
    } else {
        const char *text = argument[0] == '@' ? argument + 1 : argument;
        cli_bytes_room(bytes_out, strlen(text) + 1);
        bytes_out->size = strlen(text);
        memcpy(bytes_out->data, text, bytes_out->size);
    }
    if (code != CLI_OK) cli_bytes_free(bytes_out);
    return code;
}
