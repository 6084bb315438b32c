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
    uint64_t ws_pages;
    uint32_t vcpus;
    enum content_kind content, fill;
} want;

/* Shared by all vCPUs while they fill or check. */
static uint64_t next_chunk, pages_bad, first_bad_address;

void check_init(const struct options *o)
{
    want.ws_pages = o->ws_pages;
    want.vcpus = o->vcpus;
    want.content = o->content;
    want.fill = o->fill;
    content_init(o);
}

static enum content_kind kind_of(uint64_t page)
{
    return page < want.ws_pages ? want.content : want.fill;
}

static uint32_t epoch_of(uint64_t page)
{
    return page < want.ws_pages ? writer_pages[page].epoch : 0;
}

static void fill_page(uint64_t page)
{
    if (page < want.ws_pages && want.content == CONTENT_ZERO) {
        content_rewrite(page_at(page), CONTENT_ZERO, page, 0); /* the host has to find it now */
        return;
    }
    content_put(page_at(page), kind_of(page), page, epoch_of(page));
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
    if (!content_holds(at, kind_of(page), page, epoch_of(page))) {
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
