// Memory of one machine: blocks up to 512 bytes from chunks of one size class each, larger ones from malloc.
//
// Owns: the pool, both limits (everything, one block). Called by: Lua, through lua_newstate. Never: raises; it returns
// NULL and Lua collects, asks again and then raises.
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum {
  CHUNK_SIZE = 16384,
  HEADER_SIZE = 64,
  CLASS_STEP = 16,
  SMALL_MAX = CLUA_POOL_CLASSES * CLASS_STEP,
  SPARES_MAX = 4,
  SLACK = 512 * 1024,
  OVERDUE_MAX = 16384,
  NODE_SIZE = 24,  // one key and value of a table's hash part, in Lua 5.4
  HASH_MAX = 8192 * NODE_SIZE,
};

// Chunks are aligned to their size, so that a block leads to its chunk.
struct clua_chunk {
  clua_chunk *next;
  clua_chunk *previous;
  void *free;  // blocks that were given back, each pointing to the next
  uint16_t class_index;
  uint16_t live;
  uint16_t fresh;  // blocks from here on were never used
  uint16_t capacity;
};

_Static_assert(sizeof(clua_chunk) <= HEADER_SIZE, "a chunk's header has its place");

static int class_of(size_t size) { return (int)((size - 1) / CLASS_STEP); }

static size_t class_size(int class_index) { return (size_t)(class_index + 1) * CLASS_STEP; }

static clua_chunk *chunk_of(void *block) { return (clua_chunk *)((uintptr_t)block & ~(uintptr_t)(CHUNK_SIZE - 1)); }

static void link_open(clua_pool *pool, clua_chunk *chunk) {
  clua_chunk **head = &pool->open[chunk->class_index];
  chunk->previous = NULL;
  chunk->next = *head;
  if (*head != NULL) (*head)->previous = chunk;
  *head = chunk;
}

static void unlink_open(clua_pool *pool, clua_chunk *chunk) {
  if (chunk->previous != NULL) {
    chunk->previous->next = chunk->next;
  } else {
    pool->open[chunk->class_index] = chunk->next;
  }
  if (chunk->next != NULL) chunk->next->previous = chunk->previous;
}

// Whether Lua calls a finaliser: then it lets nobody look at the collector. Scripts cannot set any, those of lauxlib's
// buffers only give memory back. Yet calling one may take a larger stack, and Lua forgets an object whose finaliser it
// could not call, with all that only the object knows. So no limit refuses anything meanwhile.
static int is_finalizing(const clua_pool *pool) {
  const clua_machine *machine = (const clua_machine *)((const char *)pool - offsetof(clua_machine, pool));
  return machine->L != NULL && lua_gc(machine->L, LUA_GCISRUNNING) != 1;
}

// Chunks that are partly empty count as well, or a script could hold many times the limit by keeping one block of each.
static int may_reserve(clua_pool *pool, size_t size) {
  return pool->reserved + size <= pool->limit + pool->limit / 4 + SLACK || is_finalizing(pool);
}

static clua_chunk *new_chunk(clua_pool *pool, int class_index, int forced) {
  clua_chunk *chunk = pool->spare;
  if (chunk != NULL) {
    pool->spare = chunk->next;
    pool->spares -= 1;
  } else {
    if (!forced && !may_reserve(pool, CHUNK_SIZE)) {
      pool->refused = CLUA_REFUSED_TOTAL;
      return NULL;
    }
    chunk = aligned_alloc(CHUNK_SIZE, CHUNK_SIZE);
    if (chunk == NULL) return NULL;
    pool->reserved += CHUNK_SIZE;
  }
  chunk->free = NULL;
  chunk->class_index = (uint16_t)class_index;
  chunk->live = 0;
  chunk->fresh = 0;
  chunk->capacity = (uint16_t)((CHUNK_SIZE - HEADER_SIZE) / class_size(class_index));
  link_open(pool, chunk);
  return chunk;
}

static void *take_small(clua_pool *pool, size_t size, int forced) {
  int class_index = class_of(size);
  clua_chunk *chunk = pool->open[class_index];
  if (chunk == NULL) chunk = new_chunk(pool, class_index, forced);
  if (chunk == NULL) return NULL;
  void *block = chunk->free;
  if (block != NULL) {
    memcpy(&chunk->free, block, sizeof(void *));
  } else {
    block = (char *)chunk + HEADER_SIZE + (size_t)chunk->fresh * class_size(class_index);
    chunk->fresh += 1;
  }
  chunk->live += 1;
  if (chunk->free == NULL && chunk->fresh == chunk->capacity) unlink_open(pool, chunk);
  pool->used += class_size(class_index);
  return block;
}

static void give_small(clua_pool *pool, void *block) {
  clua_chunk *chunk = chunk_of(block);
  int was_full = chunk->free == NULL && chunk->fresh == chunk->capacity;
  memcpy(block, &chunk->free, sizeof(void *));
  chunk->free = block;
  chunk->live -= 1;
  pool->used -= class_size(chunk->class_index);
  if (chunk->live > 0) {
    if (was_full) link_open(pool, chunk);
    return;
  }
  if (!was_full) unlink_open(pool, chunk);
  if (pool->spares < SPARES_MAX) {
    chunk->next = pool->spare;
    pool->spare = chunk;
    pool->spares += 1;
  } else {
    pool->reserved -= CHUNK_SIZE;
    free(chunk);
  }
}

static void *take_large(clua_pool *pool, size_t size, int forced) {
  if (!forced && !may_reserve(pool, size)) {
    pool->refused = CLUA_REFUSED_TOTAL;
    return NULL;
  }
  void *block = malloc(size);
  if (block == NULL) return NULL;
  pool->used += size;
  pool->reserved += size;
  return block;
}

static void give(clua_pool *pool, void *block, size_t size) {
  if (size <= SMALL_MAX) {
    give_small(pool, block);
    return;
  }
  pool->used -= size;
  pool->reserved -= size;
  free(block);
}

// Whether this request fails because a test or a limit says so.
static int is_refused(clua_pool *pool, void *block, size_t old_size, size_t new_size) {
  const clua_machine *machine = (const clua_machine *)((char *)pool - offsetof(clua_machine, pool));
  // A stack or table that grows inside of one instruction of an overdue script.
  if (machine->clock->overdue && new_size > OVERDUE_MAX) return 1;
  // The hash part of a table, which is always new. Keys that collide cost their square when it grows.
  if (machine->clock->running != NULL && block == NULL && old_size == 0 && new_size > HASH_MAX &&
      new_size % NODE_SIZE == 0 && ((new_size / NODE_SIZE) & (new_size / NODE_SIZE - 1)) == 0) {
    pool->refused = CLUA_REFUSED_KEYS;
    return 1;
  }
  pool->count += 1;
  if (pool->fail_at != 0 && pool->count == pool->fail_at) {
    pool->fail_at = 0;
    pool->retry_block = block;
    pool->retry_size = new_size;
    return 1;
  }
  if (pool->retry_size != 0) {
    int again = pool->retry_block == block && pool->retry_size == new_size;
    pool->retry_size = 0;
    if (again) return 1;
  }
  if (new_size > pool->single_limit) {
    pool->refused = CLUA_REFUSED_SINGLE;
    return 1;
  }
  if (pool->used + (new_size - old_size) > pool->limit) {
    pool->refused = CLUA_REFUSED_TOTAL;
    return 1;
  }
  return 0;
}

static void *resize_large(clua_pool *pool, void *block, size_t old_size, size_t new_size) {
  if (new_size > old_size && !may_reserve(pool, new_size - old_size)) {
    pool->refused = CLUA_REFUSED_TOTAL;
    return NULL;
  }
  void *moved = realloc(block, new_size);
  if (moved == NULL) return NULL;
  pool->used += new_size - old_size;
  pool->reserved += new_size - old_size;
  return moved;
}

void *clua_pool_allocate(void *context, void *block, size_t old_size, size_t new_size) {
  clua_pool *pool = context;
  if (block == NULL) old_size = 0;  // Lua gives a type there
  if (new_size == 0) {
    if (block != NULL) give(pool, block, old_size);
    return NULL;
  }
  // Lua does not expect that shrinking fails: neither limits nor tests refuse it.
  int forced = new_size <= old_size;
  int reason = pool->refused;
  if (!forced && is_refused(pool, block, old_size, new_size)) {
    if (!is_finalizing(pool)) return NULL;
    pool->refused = reason;
    pool->retry_size = 0;
  }
  if (block != NULL) {
    if (old_size > SMALL_MAX && new_size > SMALL_MAX) return resize_large(pool, block, old_size, new_size);
    if (old_size <= SMALL_MAX && new_size <= SMALL_MAX && class_of(old_size) == class_of(new_size)) return block;
  }
  void *fresh = new_size <= SMALL_MAX ? take_small(pool, new_size, forced) : take_large(pool, new_size, forced);
  if (fresh == NULL || block == NULL) return fresh;
  memcpy(fresh, block, old_size < new_size ? old_size : new_size);
  give(pool, block, old_size);
  return fresh;
}

void clua_pool_end(clua_pool *pool) {
  while (pool->spare != NULL) {
    clua_chunk *chunk = pool->spare;
    pool->spare = chunk->next;
    free(chunk);
  }
}
