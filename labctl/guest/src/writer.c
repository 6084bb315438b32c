#include "writer.h"

#include "beats.h"
#include "commands.h"
#include "cpu.h"
#include "memory.h"

/* Open loop: page n is due at n periods, whatever came before. Lateness up to the cap is made up
 * for; time beyond it is work lost, so that a pause shows in the work and is not hidden by a burst
 * after it. The cap is where a stall begins (5 ms): what is shorter is the host's scheduler as much
 * as anything, and must not make a busy host miss the rate asked. */
enum { CAP_US = 5000, CAP_PAGES = 2, FRACTION_BITS = 12 };

struct writer {
    uint64_t work, due, random, first, count, next;
    uint32_t fraction;
} __attribute__((aligned(CACHE_LINE)));

HOT static struct writer writers[MAX_VCPUS];
HOT static struct {
    uint64_t period, period_fraction, cap, seed;
    bool idle, sequential;
} load;
HOT uint32_t *writer_epochs;

void writer_init(const struct options *o, uint64_t tsc_hz)
{
    writer_epochs = memory_take(o->ws_pages * sizeof *writer_epochs);
    load.seed = o->seed;
    load.sequential = o->sequential;
    load.idle = !o->rate_bytes_s;
    if (!load.idle) {
        uint64_t period = ((o->vcpus * PAGE_SIZE * tsc_hz) << FRACTION_BITS) / o->rate_bytes_s;
        load.period = period >> FRACTION_BITS;
        load.period_fraction = period & ((1 << FRACTION_BITS) - 1);
        load.cap = tsc_hz / 1000000 * CAP_US;
        if (load.cap < CAP_PAGES * load.period) {
            load.cap = CAP_PAGES * load.period;
        }
    }
    for (uint32_t i = 0; i < o->vcpus; i++) {
        uint64_t first = o->ws_pages * i / o->vcpus;
        writers[i].first = first;
        writers[i].count = o->ws_pages * (i + 1) / o->vcpus - first;
        writers[i].random = mix(o->seed ^ mix(i + 1)) | 1;
    }
}

/* Uniform over the slice, with repeats: xorshift64*, its upper half scaled (slices stay below 2^32
 * pages). */
static uint64_t next_page(struct writer *w)
{
    if (load.sequential) {
        uint64_t page = w->next;
        w->next = page + 1 == w->count ? 0 : page + 1;
        return w->first + page;
    }
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return w->first + ((w->random * 0x2545F4914F6CDD1Dull >> 32) * w->count >> 32);
}

static void write_page(struct writer *w)
{
    uint64_t page = next_page(w);
    uint32_t epoch = ++writer_epochs[page];
    content_write(page_at(page), content_of(load.seed, page, epoch));
    __atomic_store_n(&w->work, w->work + 1, __ATOMIC_RELEASE);
}

void writer_run(uint32_t vcpu, uint32_t order)
{
    struct writer *w = &writers[vcpu];
    w->due = rdtsc();
    while (commands_order() == order) {
        uint64_t now = vcpu == 0 ? beats_tick() : rdtsc();
        int64_t late = (int64_t)(now - w->due);
        if (load.idle || late < 0) {
            if (late < -(int64_t)load.cap) { /* the TSC jumped back */
                w->due = now;
            }
            relax();
            continue;
        }
        write_page(w);
        w->fraction += (uint32_t)load.period_fraction;
        w->due += load.period + (w->fraction >> FRACTION_BITS);
        w->fraction &= (1 << FRACTION_BITS) - 1;
        if ((int64_t)(now - w->due) > (int64_t)load.cap) {
            w->due = now - load.cap;
        }
    }
}

uint64_t writer_work(uint32_t vcpu)
{
    return __atomic_load_n(&writers[vcpu].work, __ATOMIC_RELAXED);
}

bool writer_work_regressed(uint32_t vcpu)
{
    const struct writer *w = &writers[vcpu];
    uint64_t sum = 0;
    for (uint64_t i = 0; i < w->count; i++) {
        if (i % PAGE_SIZE == 0) {
            beats_tick();
        }
        sum += writer_epochs[w->first + i];
    }
    return sum != w->work;
}
