/*
 * The unwinder of GCC 12 asks for what came with glibc 2.35: the unwind tables of the object that holds an address. The
 * function is FIND_OBJECT, for an older glibc and for musl.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>

#ifdef DLFO_EH_SEGMENT_TYPE
struct search {
    uintptr_t address;
    struct dl_find_object *found;
};

static int visit(struct dl_phdr_info *object, size_t size, void *data) {
    struct search *search = data;
    void *tables = 0;
    int inside = 0, i;
    (void)size;
    for (i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD) inside |= search->address - start < part->p_memsz;
        if (part->p_type == PT_GNU_EH_FRAME) tables = (void *)start;
    }
    if (!inside || !tables) return 0;
    search->found->dlfo_eh_frame = tables;
    return 1;
}

__attribute__((visibility("hidden"))) int FIND_OBJECT(void *address, struct dl_find_object *found) {
    struct search search = { (uintptr_t)address, found };
    return dl_iterate_phdr(visit, &search) == 1 ? 0 : -1;
}
#endif
