/* A plug-in of QEMU's emulator of 64-bit Arm that counts the instructions of marked regions of a program.
 *
 *   qemu-aarch64 -d plugin -D COUNTS -plugin libcount_instructions.so PROGRAM
 *
 * A region begins after `hint #126` and ends before `hint #127`, instructions that do nothing. At the end of the
 * program one line is written: "regions R instructions I products P", summed over the regions. Products are the
 * instructions that multiply and add up many bytes: sdot, usdot, smmla and usmmla.
 *
 * Lines of the loop that multiplies most follow: "block ADDRESS EXECUTIONS PRODUCTS" and the instructions of a block,
 * all hexadecimal. A block is a straight sequence of instructions; those near the one with most products are written,
 * if they are executed at least a quarter as often.
 *
 * Declared by hand, as in version 1 of the plug-in interface (QEMU 4.2 to 8.1), whose header Debian does not ship. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*TranslationCallback)(qemu_plugin_id_t id, struct qemu_plugin_tb* block);
typedef void (*ExitCallback)(qemu_plugin_id_t id, void* user_data);
typedef void (*InstructionCallback)(unsigned int cpu, void* user_data);
enum { NO_REGISTERS = 0, INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, TranslationCallback callback);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, ExitCallback callback, void* user_data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb* block, size_t index);
const void* qemu_plugin_insn_data(const struct qemu_plugin_insn* instruction);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn* instruction, InstructionCallback callback,
                                            int flags, void* user_data);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb* block);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb* block, int operation, void* counter,
                                              uint64_t value);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn* instruction, int operation, void* counter,
                                                uint64_t value);
void qemu_plugin_outs(const char* text);

#define EXPORT __attribute__((visibility("default")))

EXPORT extern const int qemu_plugin_version;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void* info, int count, char** arguments);

const int qemu_plugin_version = 1;

enum { BEGIN_REGION = 0xD5032FDF, END_REGION = 0xD5032FFF }; /* hint #126 and #127 */

typedef struct {
  uint64_t regions, instructions, products;
} Counts;

static Counts executed, before, in_regions;

/* sdot and usdot of vectors and by element, smmla and usmmla: Arm Architecture Reference Manual, C7. */
static int is_product(uint32_t instruction) {
  return (instruction & 0xBFE0FC00) == 0x0E809400 || (instruction & 0xBFE0FC00) == 0x0E809C00 ||
         (instruction & 0xBFC0F400) == 0x0F80E000 || (instruction & 0xBFC0F400) == 0x0F80F000 ||
         (instruction & 0xFFE0FC00) == 0x4E80A400 || (instruction & 0xFFE0FC00) == 0x4E80AC00;
}

enum {
  MAX_BLOCKS = 1 << 20,
  NEAR = 1 << 12, /* bytes, more than a loop is long */
};

typedef struct {
  uint64_t address, executions, products;
  size_t count;
  uint32_t instructions[];
} Block;

static Block* blocks[MAX_BLOCKS];
static size_t block_count;

static void add_block(struct qemu_plugin_tb* translated) {
  const size_t count = qemu_plugin_tb_n_insns(translated);
  Block* block = block_count < MAX_BLOCKS ? calloc(1, sizeof *block + count * sizeof(uint32_t)) : NULL;
  if (block == NULL) return;
  block->address = qemu_plugin_tb_vaddr(translated);
  block->count = count;
  for (size_t i = 0; i < count; ++i) {
    memcpy(&block->instructions[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(translated, i)), sizeof(uint32_t));
    block->products += (uint64_t)is_product(block->instructions[i]);
  }
  qemu_plugin_register_vcpu_tb_exec_inline(translated, INLINE_ADD_U64, &block->executions, 1);
  blocks[block_count++] = block;
}

static void report_blocks(void) {
  const Block* hottest = NULL;
  for (size_t b = 0; b < block_count; ++b) {
    const Block* block = blocks[b];
    const bool is_hotter =
        hottest == NULL || block->executions * block->products > hottest->executions * hottest->products;
    if (is_hotter) hottest = block;
  }
  for (size_t b = 0; b < block_count; ++b) {
    const Block* block = blocks[b];
    const bool is_near = block->address + NEAR > hottest->address && block->address < hottest->address + NEAR;
    if (!is_near || 4 * block->executions < hottest->executions) continue;
    char text[64];
    snprintf(text, sizeof text, "block %" PRIx64 " %" PRIx64 " %" PRIx64, block->address, block->executions,
             block->products);
    qemu_plugin_outs(text);
    for (size_t i = 0; i < block->count; ++i) {
      snprintf(text, sizeof text, " %" PRIx32, block->instructions[i]);
      qemu_plugin_outs(text);
    }
    qemu_plugin_outs("\n");
  }
}

static void begin_region(unsigned int cpu, void* user_data) {
  (void)cpu, (void)user_data;
  before = executed;
}

static void end_region(unsigned int cpu, void* user_data) {
  (void)cpu, (void)user_data;
  in_regions.regions += 1;
  in_regions.instructions += executed.instructions - before.instructions;
  in_regions.products += executed.products - before.products;
}

static void count_block(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); ++i) {
    struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
    uint32_t code;
    memcpy(&code, qemu_plugin_insn_data(instruction), sizeof code);
    if (code == BEGIN_REGION) {
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, begin_region, NO_REGISTERS, NULL);
    } else if (code == END_REGION) {
      qemu_plugin_register_vcpu_insn_exec_cb(instruction, end_region, NO_REGISTERS, NULL);
    } else {
      qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD_U64, &executed.instructions, 1);
    }
    if (is_product(code)) {
      qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD_U64, &executed.products, 1);
    }
  }
  add_block(block);
}

static void report(qemu_plugin_id_t id, void* user_data) {
  (void)id, (void)user_data;
  char line[128];
  snprintf(line, sizeof line, "regions %" PRIu64 " instructions %" PRIu64 " products %" PRIu64 "\n", in_regions.regions,
           in_regions.instructions, in_regions.products);
  qemu_plugin_outs(line);
  report_blocks();
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void* info, int count, char** arguments) {
  (void)info, (void)count, (void)arguments;
  qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
  qemu_plugin_register_atexit_cb(id, report, NULL);
  return 0;
}
