/* progress.c: see progress.h. */
#include "progress.h"

#include "text.h"

#include <stdio.h>
#include <unistd.h>

#define FIRST_NS 500000000u
#define EVERY_NS 100000000u
#define BAR_COLUMNS 24u

void progress_begin(struct progress *progress, const char *label, const char *unit, uint64_t total)
{
    *progress = (struct progress){.label = label, .unit = unit, .total = total};
    progress->begin_ns = text_now_ns();
    progress->is_on = isatty(STDERR_FILENO) == 1;
}

static void draw(const struct progress *progress, uint64_t done, uint64_t now_ns)
{
    char count[TEXT_NUMBER_BYTES], total[TEXT_NUMBER_BYTES], rate[TEXT_NUMBER_BYTES];
    char bar[BAR_COLUMNS + 1];
    double share = (double)done / (double)progress->total;
    if (share > 1.0) share = 1.0;
    for (uint32_t i = 0; i < BAR_COLUMNS; i++) {
        bar[i] = (double)i < share * (double)BAR_COLUMNS ? '#' : '.';
    }
    bar[BAR_COLUMNS] = '\0';
    double seconds = (double)(now_ns - progress->begin_ns) / 1e9;
    double per_second = (double)done / seconds;
    double left = per_second > 0.0 ? (double)(progress->total - done) / per_second : 0.0;
    fprintf(stderr, "\r%s [%s] %3.0f%%  %s of %s %s  %s/s  %.0f s left\033[K", progress->label, bar,
            share * 100.0, text_count(done, count), text_count(progress->total, total),
            progress->unit, text_count((uint64_t)per_second, rate), left);
    fflush(stderr);
}

void progress_update(struct progress *progress, uint64_t done)
{
    if (!progress->is_on || progress->total == 0 || done > progress->total) return;
    uint64_t now_ns = text_now_ns();
    uint64_t last_ns = progress->is_drawn ? progress->drawn_ns : progress->begin_ns;
    if (now_ns - last_ns < (progress->is_drawn ? EVERY_NS : FIRST_NS)) return;
    draw(progress, done, now_ns);
    progress->drawn_ns = now_ns;
    progress->is_drawn = true;
}

void progress_clear(struct progress *progress)
{
    if (progress->is_drawn) fputs("\r\033[K", stderr);
    progress->is_drawn = false;
}
