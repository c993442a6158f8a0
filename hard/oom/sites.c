/* sites.c: has every call of the allocator been refused once?
 *
 * A *site* is a line of the library's source that calls one of the five functions through which all
 * memory is had (base/alloc.h, base/arena.h), from outside these two. The list does not come from
 * running anything: the machine code of this very executable is searched for calls whose target is
 * one of the five, and addr2line says which line each belongs to. A line may have several calls in
 * the code, because it was inlined in several places. When the allocator is called, the innermost
 * return address on the stack that belongs to such a call says which it was. So a line that no
 * scenario reaches, or whose failure no scenario provokes, shows up as one that was never refused.
 * A site of an arena is refused when the arena needs a new block just there.
 *
 * Only what the excuses name may be missing. Calls are found in x86-64 code; on other machines, or
 * without addr2line, the list is empty and nothing is judged. */
#include "oom/oom.h"

#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"

#define SITES_MAX 1024u
#define FRAMES_MAX 24

/* Lines that need not be refused: all of a file, or one function (NULL: all), and why. */
static const struct excuse {
    const char *file, *function, *why;
} excuses[] = {
    {"vfs/mem_crash.c", NULL, "power cuts and copies of simulated worlds, for tests only"},
    {"vfs/mem.c", "ns__mem_world_like", "copies of simulated worlds, for tests only"},
};

struct site {
    uint64_t back; /* the return address, in this process */
    uint64_t at;   /* of the call, in the file */
    char file[64]; /* below src/ */
    unsigned line;
    char function[64];
    size_t leader;   /* the first site of the same line */
    const char *why; /* the excuse */
};

static struct site sites[SITES_MAX];
static size_t site_count;
static struct {
    uint64_t seen[SITES_MAX], failed[SITES_MAX];
    uint64_t unknown; /* allocations that came through no site of the list */
} * shared;

static uint64_t bias; /* from addresses in the file to addresses here */

/* ---- this executable ---- */

static const uint8_t *map_self(size_t *size_out)
{
    struct stat status;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0) rack_skip("cannot read its own executable");
    *size_out = (size_t)status.st_size;
    const uint8_t *bytes = mmap(NULL, *size_out, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (bytes == MAP_FAILED) rack_skip("cannot map its own executable");
    return bytes;
}

static const char *const entries[] = {"ns__alloc", "ns__alloc_zeroed", "ns__alloc_resize",
                                      "ns__arena_take", "ns__arena_copy"};
#define ENTRIES (sizeof entries / sizeof entries[0])

/* The addresses of the five, in the file. False if the executable does not have them all. */
static bool read_symbols(const uint8_t *elf, uint64_t targets[ENTRIES])
{
    const Elf64_Ehdr *header = (const void *)elf;
    const Elf64_Shdr *sections = (const void *)(elf + header->e_shoff);
    size_t found = 0;
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) continue;
        const Elf64_Sym *table = (const void *)(elf + sections[i].sh_offset);
        const char *names = (const char *)elf + sections[sections[i].sh_link].sh_offset;
        for (size_t s = 0; s < sections[i].sh_size / sizeof *table; s++) {
            for (size_t e = 0; e < ENTRIES; e++) {
                if (strcmp(names + table[s].st_name, entries[e]) != 0) continue;
                targets[e] = table[s].st_value;
                found++;
            }
        }
    }
    return found == ENTRIES;
}

/* ---- the calls ---- */

/* A tail call leaves no return address: it can only be "never reached". */
static void add_site(uint64_t at, unsigned size)
{
    if (site_count == SITES_MAX) rack_skip("more than %u calls of the allocator", SITES_MAX);
    sites[site_count++] = (struct site){.back = bias + at + size, .at = at};
}

/* call: e8 and 32 bits; jmp: e9 and 32 bits; conditional jump: 0f 8x and 32 bits. */
static void search_code(const uint8_t *code, size_t size, uint64_t start,
                        const uint64_t targets[ENTRIES])
{
    for (size_t i = 0; i + 6 <= size; i++) {
        bool is_near = code[i] == 0xe8 || code[i] == 0xe9;
        bool is_conditional = code[i] == 0x0f && (code[i + 1] & 0xf0) == 0x80;
        if (!is_near && !is_conditional) continue;
        unsigned length = is_conditional ? 6 : 5;
        int32_t distance;
        memcpy(&distance, code + i + length - 4, sizeof distance);
        uint64_t target = start + i + length + (uint64_t)(int64_t)distance;
        for (size_t e = 0; e < ENTRIES; e++) {
            if (target == targets[e]) add_site(start + i, length);
        }
    }
}

/* ---- their lines ---- */

/* Two lines of addr2line's output: the function, and the file with the line. */
static bool read_place(FILE *in, struct site *site)
{
    char function[256], place[1024];
    if (fgets(function, sizeof function, in) == NULL) return false;
    if (fgets(place, sizeof place, in) == NULL) return false;
    function[strcspn(function, "\n")] = '\0';
    const char *below = strstr(place, "/src/"), *colon = strrchr(place, ':');
    if (below == NULL || colon == NULL || colon < below) return false;
    snprintf(site->function, sizeof site->function, "%.*s", (int)sizeof site->function - 1,
             function);
    snprintf(site->file, sizeof site->file, "%.*s", (int)(colon - below - 5), below + 5);
    site->line = (unsigned)strtoul(colon + 1, NULL, 10);
    return true;
}

static bool ask_addr2line(void)
{
    static char command[SITES_MAX * 20];
    int used = snprintf(command, sizeof command, "addr2line -f -e /proc/%ld/exe", (long)getpid());
    for (size_t i = 0; i < site_count; i++) {
        used += snprintf(command + used, sizeof command - (size_t)used, " 0x%llx",
                         (unsigned long long)sites[i].at);
    }
    FILE *in = popen(command, "r");
    if (in == NULL) return false;
    bool is_good = true;
    for (size_t i = 0; i < site_count && is_good; i++)
        is_good = read_place(in, &sites[i]);
    return pclose(in) == 0 && is_good;
}

static const char *excuse_of(const struct site *site)
{
    for (size_t i = 0; i < sizeof excuses / sizeof excuses[0]; i++) {
        const struct excuse *excuse = &excuses[i];
        if (strcmp(site->file, excuse->file) != 0) continue;
        if (excuse->function == NULL || strcmp(site->function, excuse->function) == 0)
            return excuse->why;
    }
    return NULL;
}

/* Leaves out what the allocator and the arena call themselves, and groups the rest by line. */
static void arrange(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < site_count; i++) {
        struct site site = sites[i];
        bool is_seam =
            strcmp(site.file, "base/alloc.c") == 0 || strcmp(site.file, "base/arena.c") == 0;
        if (is_seam) continue;
        site.why = excuse_of(&site);
        for (site.leader = 0; site.leader < kept; site.leader++) {
            const struct site *other = &sites[site.leader];
            if (other->line == site.line && strcmp(other->file, site.file) == 0) break;
        }
        sites[kept++] = site;
    }
    site_count = kept;
}

void oom_sites_init(void)
{
    size_t size;
    void *frames[4];
    uint64_t targets[ENTRIES];
    (void)backtrace(frames, 4); /* loads what it needs */
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) rack_skip("no shared memory");
    const uint8_t *elf = map_self(&size);
    const Elf64_Ehdr *header = (const void *)elf;
    if (header->e_machine != EM_X86_64 || !read_symbols(elf, targets)) {
        fprintf(stderr, "rack oom: calls of the allocator cannot be found, and are not judged\n");
        return;
    }
    bias = (uint64_t)(uintptr_t)ns__alloc - targets[0];
    const Elf64_Phdr *segments = (const void *)(elf + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type != PT_LOAD || (segments[i].p_flags & PF_X) == 0) continue;
        search_code(elf + segments[i].p_offset, segments[i].p_filesz, segments[i].p_vaddr, targets);
    }
    if (ask_addr2line()) {
        arrange();
    } else {
        fprintf(stderr, "rack oom: addr2line does not answer; sites are not judged\n");
        site_count = 0;
    }
}

/* ---- which one was it? ---- */

size_t oom_sites_here(void)
{
    void *frames[FRAMES_MAX];
    int count = backtrace(frames, FRAMES_MAX);
    for (int f = 0; f < count; f++) {
        uint64_t back = (uint64_t)(uintptr_t)frames[f];
        size_t low = 0, high = site_count; /* in ascending order, as found */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (sites[middle].back < back)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < site_count && sites[low].back == back) return low;
    }
    return SIZE_MAX;
}

void oom_sites_note(size_t site, bool is_failed)
{
    static size_t hidden = SIZE_MAX; /* what the canary does not note */
    if (site_count == 0) return;
    if (site == SIZE_MAX) {
        __atomic_fetch_add(&shared->unknown, 1, __ATOMIC_RELAXED);
        return;
    }
    __atomic_fetch_add(&shared->seen[site], 1, __ATOMIC_RELAXED);
    if (oom_canary == OOM_CANARY_SITE && hidden == SIZE_MAX) hidden = site;
    if (is_failed && site != hidden) {
        __atomic_fetch_add(&shared->failed[site], 1, __ATOMIC_RELAXED);
    }
}

/* ---- the verdict ---- */

static void print_site(const struct site *site, const char *what)
{
    fprintf(stderr, "  site src/%s:%u %s: %s\n", site->file, site->line, site->function, what);
}

/* How often the sites of a line were seen and refused. */
static void sum_line(size_t leader, uint64_t *seen_out, uint64_t *failed_out)
{
    *seen_out = *failed_out = 0;
    for (size_t i = leader; i < site_count; i++) {
        if (sites[i].leader != leader) continue;
        *seen_out += shared->seen[i];
        *failed_out += shared->failed[i];
    }
}

static bool judge_line(size_t leader, bool is_listing)
{
    const struct site *site = &sites[leader];
    uint64_t seen, failed;
    sum_line(leader, &seen, &failed);
    bool is_excused = failed == 0 && site->why != NULL;
    bool is_good = failed > 0 || is_excused;
    rack_add(OOM_SITES, 1);
    rack_add(OOM_SITES_FAILED, failed > 0);
    rack_add(OOM_SITES_EXCUSED, is_excused);
    if (is_listing || !is_good) {
        print_site(site, failed > 0   ? "refused"
                         : is_excused ? site->why
                         : seen > 0   ? "reached, but never refused"
                                      : "never reached");
    }
    return is_good;
}

bool oom_sites_judge(bool is_listing)
{
    bool is_good = oom_sites_agree();
    for (size_t i = 0; i < site_count; i++) {
        rack_add(OOM_CALLS, 1);
        rack_add(OOM_CALLS_FAILED, shared->failed[i] > 0);
        if (sites[i].leader == i) is_good = judge_line(i, is_listing) && is_good;
    }
    return is_good;
}

bool oom_sites_agree(void)
{
    bool is_good = shared->unknown == 0;
    if (!is_good) fprintf(stderr, "  allocations came through no call that is known\n");
    for (size_t i = 0; i < site_count; i++) {
        if (shared->seen[i] == 0 || shared->failed[i] > 0) continue;
        print_site(&sites[i], "reached, but never refused");
        is_good = false;
    }
    return is_good;
}

void oom_sites_reset(void)
{
    memset(shared, 0, sizeof *shared);
}
