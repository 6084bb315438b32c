/* Which memory there is, who has it, and where page number i of the checked memory lies.
 *
 *   0 .. 1 MiB                 firmware, multiboot information, the trampoline
 *   1 MiB ..                   image (code, state, stack, tables), then what memory_take() gave
 *   low.start .. low.end       checked pages 0 ..
 *   4 GiB .. high.end          checked pages, continued
 *
 * The working set is the first pages of that row, "outside" is all the others. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct range {
    uint64_t start, end;
};

struct memory {
    uint64_t usable_bytes; /* all the RAM that the memory map names */
    struct range first;    /* below 1 MiB */
    struct range tables;   /* the page tables for RAM above 4 GiB */
    struct range low;      /* from behind the program to the end of the RAM below 4 GiB */
    struct range high;     /* from 4 GiB, or empty */
    uint64_t low_pages, pages;
};

extern struct memory memory;

/* Reads the multiboot memory map and maps all RAM above 4 GiB. `behind` is the first
 * free address. */
void memory_init(const void *multiboot, uint64_t behind);

/* Takes whole zeroed pages from the low end of free memory, before memory_close() only. */
void *memory_take(uint64_t bytes);

/* What is free now is the checked memory. */
void memory_close(void);

static inline uint64_t *page_at(uint64_t page)
{
    return (uint64_t *)(page < memory.low_pages
                            ? memory.low.start + page * 4096
                            : memory.high.start + (page - memory.low_pages) * 4096);
}

#endif
