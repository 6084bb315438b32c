#include "check.h"

#include "beats.h"
#include "content.h"
#include "cpu.h"
#include "fixed.h"
#include "memory.h"
#include "smp.h"
#include "writer.h"

enum { CHUNK_PAGES = 64 };

static struct {
    uint64_t ws_pages, seed;
    uint32_t vcpus;
    bool fill_zero;
} want;

/* Shared by all vCPUs while they fill or check. */
static uint64_t next_chunk, pages_bad, first_bad_address;

void check_init(const struct options *o)
{
    want.ws_pages = o->ws_pages;
    want.seed = o->seed;
    want.vcpus = o->vcpus;
    want.fill_zero = o->fill_zero;
}

static struct content content_now(uint64_t page)
{
    return content_of(want.seed, page, page < want.ws_pages ? writer_epochs[page] : 0);
}

static bool holds_zero(uint64_t page)
{
    return want.fill_zero && page >= want.ws_pages;
}

static void fill_page(uint64_t page)
{
    uint64_t *at = page_at(page);
    if (!holds_zero(page)) {
        content_write(at, content_now(page));
    } else if (!content_is_zero(at)) { /* the firmware's leavings; a page never touched stays so */
        for (size_t i = 0; i < PAGE_SIZE / sizeof *at; i++) {
            at[i] = 0;
        }
    }
}

static void bad_page(uint64_t address)
{
    __atomic_add_fetch(&pages_bad, 1, __ATOMIC_RELAXED);
    uint64_t first = __atomic_load_n(&first_bad_address, __ATOMIC_RELAXED);
    while (address < first &&
           !__atomic_compare_exchange_n(&first_bad_address, &first, address, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static void check_page(uint64_t page)
{
    const uint64_t *at = page_at(page);
    if (!(holds_zero(page) ? content_is_zero(at) : content_is(at, content_now(page)))) {
        bad_page((uint64_t)at);
    }
}

/* Chunks are taken, not dealt, so that a vCPU which lost its core does not hold up the others. */
static void each_page(uint32_t vcpu, void (*visit)(uint64_t page))
{
    smp_barrier(vcpu);
    for (;;) {
        uint64_t page = __atomic_fetch_add(&next_chunk, CHUNK_PAGES, __ATOMIC_RELAXED);
        if (page >= memory.pages) {
            break;
        }
        uint64_t end = page + CHUNK_PAGES < memory.pages ? page + CHUNK_PAGES : memory.pages;
        for (; page < end; page++) {
            if (vcpu == 0) {
                beats_tick();
            }
            visit(page);
        }
    }
    smp_barrier(vcpu);
}

void check_fill(uint32_t vcpu)
{
    each_page(vcpu, fill_page);
}

void check_memory(uint32_t vcpu)
{
    if (vcpu == 0) {
        beats_phase(PHASE_CHECK);
        next_chunk = pages_bad = 0;
        first_bad_address = UINT64_MAX;
    }
    each_page(vcpu, check_page);
    if (vcpu != 0) {
        return;
    }
    uint64_t fixed_bad = fixed_changed();
    if (fixed_bad != UINT64_MAX) {
        bad_page(fixed_bad);
    }
    struct report report = {memory.pages, pages_bad, pages_bad ? first_bad_address : 0, false,
                            false};
    report.seq_regressed = beats_seq_regressed();
    for (uint32_t i = 0; i < want.vcpus; i++) {
        report.work_regressed |= writer_work_regressed(i);
    }
    beats_report(report);
    beats_phase(PHASE_CHECKED);
}
