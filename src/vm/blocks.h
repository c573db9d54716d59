/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Small blocks that a Lua state gave back, kept for the next ones of their size. Lua asks for small blocks
 * all the time and its collector frees them in bursts; with the size at hand, as LuaJIT has it, a list for
 * each size is several times as fast as malloc.
 *
 * Every block is one of malloc's, rounded up to what malloc would give out anyway: any may be kept, freed or
 * realloc'ed, whatever its size was before. MQLUA_PLAIN_BLOCKS (builds with sanitizers define it) keeps none,
 * so that each use after free is seen.
 */

#include <stdbool.h>
#include <stddef.h>

#ifdef MQLUA_PLAIN_BLOCKS
enum { MQLUA_BLOCK_LARGEST = 0 };
#else
enum { MQLUA_BLOCK_LARGEST = 504 }; /* bytes */
#endif

enum {
    MQLUA_BLOCK_STEP = 16,
    MQLUA_BLOCK_HEAD = 8, /* of malloc, in each block */
    MQLUA_BLOCK_CLASSES = (504 + MQLUA_BLOCK_HEAD) / MQLUA_BLOCK_STEP,
    MQLUA_BLOCKS_KEPT = 128 * 1024, /* bytes, at most */
};

typedef struct mqlua_block {
    struct mqlua_block *next;
} mqlua_block;

/* Zeroed, it is empty. */
typedef struct mqlua_blocks {
    mqlua_block *first[MQLUA_BLOCK_CLASSES];
    size_t kept; /* bytes */
} mqlua_blocks;

static inline size_t mqlua_blocks_class(size_t size)
{
    return (size + MQLUA_BLOCK_HEAD - 1) / MQLUA_BLOCK_STEP;
}

/* What a block of a class takes, its head included. */
static inline size_t mqlua_blocks_bytes(size_t of_class)
{
    return (of_class + 1) * MQLUA_BLOCK_STEP;
}

/* What to ask malloc for, so that the block can be kept. */
static inline size_t mqlua_blocks_round(size_t size)
{
    return size > MQLUA_BLOCK_LARGEST ? size
                                      : mqlua_blocks_bytes(mqlua_blocks_class(size)) - MQLUA_BLOCK_HEAD;
}

/* Whether a block of old bytes is good for so many, and not too good. */
static inline bool mqlua_blocks_fits(size_t old_size, size_t size)
{
    return size <= MQLUA_BLOCK_LARGEST && mqlua_blocks_class(old_size) == mqlua_blocks_class(size);
}

/* A block of size bytes, or NULL: ask malloc for mqlua_blocks_round(size). */
static inline void *mqlua_blocks_take(mqlua_blocks *blocks, size_t size)
{
    if (size > MQLUA_BLOCK_LARGEST)
        return NULL;
    size_t of_class = mqlua_blocks_class(size);
    mqlua_block *block = blocks->first[of_class];
    if (block) {
        blocks->first[of_class] = block->next;
        blocks->kept -= mqlua_blocks_bytes(of_class);
    }
    return block;
}

/* Keeps a block that had size bytes; false: free it. */
static inline bool mqlua_blocks_keep(mqlua_blocks *blocks, void *memory, size_t size)
{
    size_t of_class = mqlua_blocks_class(size), kept = blocks->kept + mqlua_blocks_bytes(of_class);
    if (size > MQLUA_BLOCK_LARGEST || kept > MQLUA_BLOCKS_KEPT)
        return false;
    mqlua_block *block = memory;
    block->next = blocks->first[of_class];
    blocks->first[of_class] = block;
    blocks->kept = kept;
    return true;
}

/* Gives all of them back. */
void mqlua_blocks_free(mqlua_blocks *blocks);
