#include "memory.h"

#include "console.h"
#include "cpu.h"

#define MIB_1 0x100000ull
#define GIB_1 0x40000000ull
#define GIB_4 0x100000000ull

enum { HAS_MEMORY_MAP = 1 << 6, TYPE_RAM = 1 };
enum { TABLE = 0x67, LARGE_PAGE = 0xE3, ENTRIES = 512 }; /* as in start.S */

struct multiboot {
    uint32_t flags, unused[10], map_length, map_address;
};

struct map_entry {
    uint32_t size; /* of what follows */
    uint64_t start, length;
    uint32_t type;
} __attribute__((packed));

HOT struct memory memory;
extern uint64_t boot_pml4[ENTRIES], boot_pdpt[ENTRIES];

static void read_map(const struct multiboot *info)
{
    if (!(info->flags & HAS_MEMORY_MAP)) {
        give_up("the loader gave no memory map, flags", info->flags);
    }
    uint64_t at = info->map_address, end = at + info->map_length;
    while (at < end) {
        const struct map_entry *e = (const void *)at;
        at += e->size + sizeof e->size;
        if (e->type != TYPE_RAM) {
            continue;
        }
        memory.usable_bytes += e->length;
        struct range r = {(e->start + PAGE_SIZE - 1) & -PAGE_SIZE,
                          (e->start + e->length) & -PAGE_SIZE};
        if (r.start <= MIB_1 && r.end > MIB_1) {
            memory.low = r;
        } else if (r.start == GIB_4) {
            memory.high = r;
        } else if (r.start > MIB_1) {
            give_up("RAM that is neither at 1 MiB nor at 4 GiB, at", r.start);
        } else if (r.start == 0) {
            memory.first = r;
        }
    }
}

static void map_high(void)
{
    for (uint64_t gib = GIB_4; gib < memory.high.end; gib += GIB_1) {
        uint64_t *top = &boot_pml4[gib >> 39 & (ENTRIES - 1)];
        if (!*top) {
            *top = (uint64_t)memory_take(PAGE_SIZE) | TABLE;
        }
        uint64_t *pdpt = (uint64_t *)(*top & -PAGE_SIZE);
        uint64_t *pd = memory_take(PAGE_SIZE);
        for (unsigned i = 0; i < ENTRIES; i++) {
            pd[i] = (gib + i * (GIB_1 / ENTRIES)) | LARGE_PAGE;
        }
        pdpt[gib >> 30 & (ENTRIES - 1)] = (uint64_t)pd | TABLE;
    }
}

void memory_init(const void *multiboot, uint64_t behind)
{
    read_map(multiboot);
    memory.low.start = (behind + PAGE_SIZE - 1) & -PAGE_SIZE;
    memory.tables.start = memory.low.start;
    map_high();
    memory.tables.end = memory.low.start;
}

void *memory_take(uint64_t bytes)
{
    uint64_t *start = (uint64_t *)memory.low.start;
    uint64_t rounded = (bytes + PAGE_SIZE - 1) & -PAGE_SIZE;
    if (memory.low.start + rounded > memory.low.end) {
        give_up("not enough memory for the program itself, bytes wanted:", bytes);
    }
    memory.low.start += rounded;
    for (uint64_t i = 0; i < rounded / sizeof *start; i++) {
        start[i] = 0;
    }
    return start;
}

void memory_close(void)
{
    memory.low_pages = (memory.low.end - memory.low.start) / PAGE_SIZE;
    memory.pages = memory.low_pages + (memory.high.end - memory.high.start) / PAGE_SIZE;
}
