/* From the multiboot loader (32-bit, no paging) to 64-bit C, for the first vCPU and the others. */

#define MULTIBOOT_MAGIC 0x1BADB002
#define MULTIBOOT_FLAGS 0x3             /* page alignment, memory map */
#define PAGE_TABLE      0x67            /* present, writable, user, accessed, dirty */
#define PAGE_2M         0xE3            /* present, writable, accessed, dirty, large */

        .section .multiboot, "a"
        .align 4
        .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

        .section .text.boot, "ax"
        .code32
        .globl _start
_start:
        cli
        cld
        mov     %ebx, %ebp              /* multiboot information */
        mov     $boot_stack_top, %esp
        call    map_first_4g
        mov     $first64, %edx
        jmp     enter_long_mode

/* 4 GiB identity mapped by 2 MiB pages; accessed and dirty are set beforehand, so that the tables
 * never change and can be checked like any other memory. The loader clears .bss. */
map_first_4g:
        movl    $boot_pdpt + PAGE_TABLE, boot_pml4
        mov     $boot_pd + PAGE_TABLE, %eax
        mov     $boot_pdpt, %edi
        mov     $4, %ecx
1:      mov     %eax, (%edi)
        add     $4096, %eax
        add     $8, %edi
        loop    1b
        mov     $PAGE_2M, %eax
        mov     $boot_pd, %edi
        mov     $2048, %ecx
2:      mov     %eax, (%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    2b
        ret

/* Jumps to the 64-bit code at EDX. */
enter_long_mode:
        mov     %cr4, %eax
        or      $0x20, %eax             /* PAE */
        mov     %eax, %cr4
        mov     $boot_pml4, %eax
        mov     %eax, %cr3
        mov     %edx, %esi
        mov     $0xC0000080, %ecx       /* EFER.LME */
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80000001, %eax       /* paging, protection */
        mov     %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $0x18, $1f
        .code64
1:      mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %esi, %esi
        jmp     *%rsi

first64:
        mov     %ebp, %edi
        call    guest_main
        ud2

other64:
        mov     $1, %edi
        lock xaddl %edi, smp_tickets(%rip)
        cmp     smp_places(%rip), %edi
        jae     3f                      /* more vCPUs than the command line names */
        lea     1(%rdi), %eax
        shl     $12, %rax
        add     smp_stacks(%rip), %rax
        mov     %rax, %rsp
        call    smp_entry
3:      cli
        hlt
        jmp     3b

/* Every exception ends here; a guest that faults says where and stops. */
        .globl fault_stub
fault_stub:
        mov     %rsp, %rdi
        and     $-16, %rsp
        call    fault
        ud2

/* Copied to a page below 1 MiB: another vCPU starts in real mode with CS:IP = that page. */
        .code16
        .globl trampoline, trampoline_end
trampoline:
        cli
        mov     %cs, %ax
        mov     %ax, %ds
        lgdtl   trampoline_gdt - trampoline
        mov     %cr0, %eax
        or      $1, %eax
        mov     %eax, %cr0
        ljmpl   $0x08, $other32
        .align 4
trampoline_gdt:
        .word   gdt_end - gdt - 1
        .long   gdt
trampoline_end:

        .code32
other32:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $other64, %edx
        jmp     enter_long_mode

        .section .rodata
        .align 8
gdt:    .quad   0
        .quad   0x00CF9B000000FFFF      /* 0x08: 32-bit code */
        .quad   0x00CF93000000FFFF      /* 0x10: data */
        .quad   0x00AF9B000000FFFF      /* 0x18: 64-bit code */
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt

        .section .tables, "aw", @nobits
        .align 4096
        .globl boot_pml4, boot_pdpt
boot_pml4:      .skip 4096
boot_pdpt:      .skip 4096
boot_pd:        .skip 4 * 4096

        .section .stack, "aw", @nobits
        .align 4096
        .skip 4096
boot_stack_top:

        .section .note.GNU-stack, "", @progbits
