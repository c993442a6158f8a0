/* import.c: real files into a database, one document and one transaction each.
 *
 * Keyspaces
 *   path     relative path -> document id, 8 bytes big-endian
 *   content  document id -> the file's bytes
 *   size     document id -> size in bytes, decimal digits
 *
 * Ids are given in the order of import, from 1, and stay with a path for good. A file whose bytes
 * are already there is skipped, so importing again changes nothing and importing changed files
 * replaces just those; documents of files that are gone stay. The database file itself is skipped
 * should it lie in the directory. */
#include "cli.h"
#include "hist.h"
#include "progress.h"
#include "text.h"
#include "walk.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_BYTES 8u

struct import {
    const struct cli_args *args;
    ns_db *db;
    struct walk walk;
    struct stat database; /* to know it when it turns up */
    struct cli_bytes content;
    uint64_t last_id;
    uint64_t added, replaced, unchanged, refused;
    uint64_t bytes_stored, bytes_read;
    struct hist commits; /* ns */
};

struct keyspaces {
    ns_keyspace path, content, size;
};

/* ---- ids ---- */

static void encode_id(uint64_t id, uint8_t out[ID_BYTES])
{
    for (uint32_t i = 0; i < ID_BYTES; i++)
        out[i] = (uint8_t)(id >> (56u - 8u * i));
}

static uint64_t decode_id(ns_slice bytes)
{
    const uint8_t *at = bytes.data;
    uint64_t id = 0;
    for (uint32_t i = 0; i < ID_BYTES; i++)
        id = id << 8 | at[i];
    return id;
}

static ns_status find_keyspaces(ns_txn *txn, struct keyspaces *out)
{
    ns_status status = ns_txn_keyspace(txn, "path", &out->path);
    if (status == NS_OK) status = ns_txn_keyspace(txn, "content", &out->content);
    if (status == NS_OK) status = ns_txn_keyspace(txn, "size", &out->size);
    return status;
}

/* The newest id; 0 in an empty database. NS_INVALID if the keyspaces are not an import's. */
static ns_status find_last_id(ns_db *db, uint64_t *id_out)
{
    ns_txn *txn = NULL;
    ns_cursor *cursor = NULL;
    struct keyspaces keyspaces;
    *id_out = 0;
    ns_status status = ns_txn_begin(db, NS_READ, &txn);
    if (status == NS_OK) status = find_keyspaces(txn, &keyspaces);
    if (status == NS_OK) status = ns_cursor_open(txn, keyspaces.size, &cursor);
    if (status == NS_OK) status = ns_cursor_last(cursor);
    if (status == NS_OK) {
        ns_slice key = ns_cursor_key(cursor);
        if (key.size == ID_BYTES) *id_out = decode_id(key);
        if (key.size != ID_BYTES) status = NS_INVALID;
    }
    ns_cursor_close(cursor);
    ns_txn_abort(txn);
    return status == NS_NOTFOUND ? NS_OK : status;
}

static int fail(const struct import *import, ns_status status, const char *what)
{
    if (status != NS_INVALID) return cli_fail(status, "%s", what);
    cli_error("%s: the keyspaces path, content and size are there, but not from an import",
              import->args->words[0]);
    return CLI_FAILED;
}

/* ---- one file ---- */

/* Is the document of this path there (id), with the very bytes of content? */
static ns_status compare_document(struct import *import, const char *path, uint64_t *id_out,
                                  bool *is_equal_out)
{
    ns_txn *txn = NULL;
    struct keyspaces keyspaces;
    ns_slice id, stored;
    *id_out = 0;
    *is_equal_out = false;
    ns_status status = ns_txn_begin(import->db, NS_READ, &txn);
    if (status == NS_OK) status = find_keyspaces(txn, &keyspaces);
    if (status == NS_OK) status = ns_txn_get(txn, keyspaces.path, ns_str(path), &id);
    if (status == NS_OK && id.size != ID_BYTES) status = NS_INVALID;
    if (status == NS_OK) {
        *id_out = decode_id(id);
        status = ns_txn_get(txn, keyspaces.content, id, &stored);
    }
    if (status == NS_OK && stored.size == import->content.size) {
        *is_equal_out =
            stored.size == 0 || memcmp(stored.data, import->content.data, stored.size) == 0;
    }
    ns_txn_abort(txn);
    return status == NS_NOTFOUND ? NS_OK : status;
}

static ns_status change_document(struct import *import, ns_txn *txn, const char *path, uint64_t id)
{
    struct keyspaces keyspaces;
    uint8_t key_bytes[ID_BYTES];
    char size[TEXT_NUMBER_BYTES];
    char note[1100];
    encode_id(id, key_bytes);
    ns_slice key = ns_bytes(key_bytes, sizeof key_bytes);
    snprintf(size, sizeof size, "%zu", import->content.size);
    snprintf(note, sizeof note, "import %s", path);

    ns_status status = find_keyspaces(txn, &keyspaces);
    if (status == NS_OK) status = ns_txn_put(txn, keyspaces.path, ns_str(path), key);
    if (status == NS_OK) {
        status = ns_txn_put(txn, keyspaces.content, key, cli_slice(&import->content));
    }
    if (status == NS_OK) status = ns_txn_put(txn, keyspaces.size, key, ns_str(size));
    if (status == NS_OK) status = ns_txn_note(txn, ns_str(note));
    return status;
}

static ns_status store_document(struct import *import, const char *path, uint64_t id)
{
    ns_txn *txn = NULL;
    ns_status status = ns_txn_begin(import->db, NS_WRITE, &txn);
    if (status == NS_OK) status = change_document(import, txn, path, id);
    if (status != NS_OK) {
        ns_txn_abort(txn);
        return status;
    }
    uint64_t begin_ns = text_now_ns();
    status = ns_txn_commit(txn, NULL);
    hist_add(&import->commits, text_now_ns() - begin_ns);
    return status;
}

/* Reads the file into content. False: it was reported and is to be skipped. */
static bool read_content(struct import *import, const struct walk_file *file)
{
    struct stat about;
    char name[TEXT_NAME_BYTES];
    import->content.size = 0;
    int fd = walk_open_file(&import->walk, file);
    int error = fd < 0 ? errno : fstat(fd, &about) != 0 ? errno : 0;
    bool is_database = error == 0 && about.st_dev == import->database.st_dev &&
                       about.st_ino == import->database.st_ino;
    if (error == 0 && !is_database) error = cli_bytes_read(&import->content, fd);
    if (fd >= 0) close(fd);
    if (is_database) import->walk.skipped++;
    if (error != 0) {
        cli_fail_errno(error, "%s", text_name(file->path, name));
        import->walk.unreadable++;
    }
    return error == 0 && !is_database;
}

static int import_file(struct import *import, const struct walk_file *file)
{
    uint64_t id = 0;
    bool is_equal = false;
    char name[TEXT_NAME_BYTES];
    if (!read_content(import, file)) return CLI_OK;
    import->bytes_read += import->content.size;

    ns_status status = compare_document(import, file->path, &id, &is_equal);
    if (status == NS_OK && is_equal) {
        import->unchanged++;
        return CLI_OK;
    }
    bool is_new = id == 0;
    if (status == NS_OK) {
        status = store_document(import, file->path, is_new ? import->last_id + 1 : id);
    }
    if (status == NS_TOOBIG) { /* a path over the limit for keys: the others go on */
        cli_fail(status, "%s", text_name(file->path, name));
        import->refused++;
        return CLI_OK;
    }
    if (status != NS_OK) return fail(import, status, text_name(file->path, name));
    if (is_new) import->last_id++;
    import->added += is_new ? 1 : 0;
    import->replaced += is_new ? 0 : 1;
    import->bytes_stored += import->content.size;
    return CLI_OK;
}

static int import_files(struct import *import)
{
    uint64_t limit = import->walk.file_count;
    if (cli_has(import->args, CLI_LIMIT) && import->args->limit < limit) {
        limit = import->args->limit;
    }
    struct progress progress;
    progress_begin(&progress, "import", "files", limit);
    cli_catch_interrupts();
    int code = CLI_OK;
    for (uint64_t i = 0; i < limit && code == CLI_OK; i++) {
        if (cli_interrupted()) {
            code = CLI_INTERRUPTED;
            break;
        }
        code = import_file(import, &import->walk.files[i]);
        progress_update(&progress, i + 1);
    }
    progress_clear(&progress);
    return code;
}

/* ---- the report ---- */

static void print_json(const struct import *import, double seconds)
{
    printf("{\"added\":%llu,\"replaced\":%llu,\"unchanged\":%llu,\"skipped\":%llu,"
           "\"unreadable\":%llu,\"refused\":%llu,",
           (unsigned long long)import->added, (unsigned long long)import->replaced,
           (unsigned long long)import->unchanged, (unsigned long long)import->walk.skipped,
           (unsigned long long)import->walk.unreadable, (unsigned long long)import->refused);
    printf("\"bytes_read\":%llu,\"bytes_stored\":%llu,\"seconds\":%.6f,"
           "\"commit_p50_us\":%.1f,\"commit_p99_us\":%.1f,\"sync\":\"%s\"}\n",
           (unsigned long long)import->bytes_read, (unsigned long long)import->bytes_stored,
           seconds, (double)hist_percentile(&import->commits, 0.5) / 1e3,
           (double)hist_percentile(&import->commits, 0.99) / 1e3,
           import->args->sync == NS_SYNC_OFF ? "off" : "full");
}

static void print_count(const char *name, uint64_t count)
{
    char number[TEXT_NUMBER_BYTES];
    if (count > 0) printf("%-12s %12s\n", name, text_count(count, number));
}

static void print_text(const struct import *import, double seconds)
{
    char number[TEXT_NUMBER_BYTES], size[TEXT_NUMBER_BYTES];
    uint64_t seen = import->added + import->replaced + import->unchanged;
    print_count("added", import->added);
    print_count("replaced", import->replaced);
    print_count("unchanged", import->unchanged);
    print_count("skipped", import->walk.skipped);
    print_count("unreadable", import->walk.unreadable);
    print_count("refused", import->refused);
    printf("%-12s %12s  of %s read, in %.2f s\n", "stored", text_size(import->bytes_stored, size),
           text_size(import->bytes_read, number), seconds);
    printf("%-12s %12s  files/s, %.1f MB/s\n", "rate",
           text_count((uint64_t)((double)seen / seconds), number),
           (double)import->bytes_read / seconds / 1e6);
    if (import->commits.count > 0) {
        printf("%-12s %12s  p50, %s p99, sync %s\n", "commit",
               text_duration(hist_percentile(&import->commits, 0.5), number),
               text_duration(hist_percentile(&import->commits, 0.99), size),
               import->args->sync == NS_SYNC_OFF ? "off" : "full");
    }
}

int cli_import(const struct cli_args *args)
{
    ns_options options = {.sync = args->sync};
    struct import *import = cli_alloc(sizeof *import);
    import->args = args;
    int error = walk_open(&import->walk, args->words[1]);
    int code = error == 0 ? CLI_OK : cli_fail_errno(error, "%s", args->words[1]);
    if (code == CLI_OK) {
        code = cli_open(args, args->words[0], CLI_OPEN_CREATE, &options, &import->db);
    }
    if (code == CLI_OK && stat(args->words[0], &import->database) != 0) {
        code = cli_fail_errno(errno, "%s", args->words[0]);
    }
    if (code == CLI_OK) {
        ns_status status = find_last_id(import->db, &import->last_id);
        if (status != NS_OK) code = fail(import, status, args->words[0]);
    }
    if (code == CLI_OK) {
        uint64_t begin_ns = text_now_ns();
        code = import_files(import);
        code = cli_close(import->db, code); /* with --sync off, what makes it durable */
        import->db = NULL;
        double seconds = (double)(text_now_ns() - begin_ns + 1) / 1e9;
        if (cli_has(args, CLI_JSON)) {
            print_json(import, seconds);
        } else {
            print_text(import, seconds);
        }
        if (code == CLI_INTERRUPTED) cli_error("interrupted; importing again goes on from here");
    }
    code = cli_close(import->db, code);
    if (code == CLI_OK && import->walk.unreadable + import->refused > 0) code = CLI_FAILED;
    walk_close(&import->walk);
    cli_bytes_free(&import->content);
    cli_free(import);
    return code;
}
