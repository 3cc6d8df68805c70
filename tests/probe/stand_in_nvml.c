/* A stand-in for libnvidia-ml.so.1, so that the real pynvml can be tested on machines that nobody has.
 *
 * The file named by STAND_IN_NVML describes one machine and is read at every initialisation:
 *
 *   [system]            driver=550.54.15  cuda=12040  link=nvlink|p2p|none
 *   [gpu]               name= uuid= cc=8.0 total= reserved= used= (MiB) mig= ecc= display= mode= virtual= ...
 *   [mig]               an instance of the last gpu: slot= uuid= name= total= used= sms= memory_mb= slices= gi= ci=
 *   [process]           of the last gpu or instance: pid= used= (MiB, -1: not available) graphics=
 *   [fault]             call=SYMBOL device=N|any code=CODE   (code 1001: hang, 1002: crash)
 *
 * One key=value a line. A value of -CODE in a gpu makes the matching question fail with that code.
 * The layout of structures is that of nvml.h; symbols are hidden at link time to play an old driver.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, ANY = -1, HANG = 1001, CRASH = 1002 };
#define MAX 80
#define MIB 1048576ULL

typedef unsigned long long u64;
typedef struct { unsigned pid; u64 used; unsigned gi, ci; } process_t;
typedef struct { process_t entry; int graphics; } held_t;

typedef struct node {
    int index, is_mig, slot, cc_major, cc_minor;
    long total, reserved, used, mig, pending, ecc, display, mode, virtual_mode, power, default_power;
    long generation, width, max_width, rows, sms, memory_mb, slices, gi, ci;
    char name[96], uuid[96], bus[32];
    int processes, migs;
    held_t held[MAX];
    struct node *slots[8];
} node_t;

static node_t gpus[MAX], instances[MAX];
static int gpu_count, instance_count, fault_count, ready;
static char driver[96], link_kind[16];
static long cuda_version;
static struct { char call[96]; int device, code; } faults[MAX];

static void set(char *section, node_t *node, char *key, char *value) {
    long number = atol(value);
#define TEXT(field) if (!strcmp(key, #field)) { snprintf(node->field, sizeof node->field, "%s", value); return; }
#define NUMBER(field) if (!strcmp(key, #field)) { node->field = number; return; }
    if (!strcmp(section, "[system]")) {
        if (!strcmp(key, "driver")) snprintf(driver, sizeof driver, "%s", value);
        if (!strcmp(key, "cuda")) cuda_version = number;
        if (!strcmp(key, "link")) snprintf(link_kind, sizeof link_kind, "%s", value);
    } else if (!strcmp(section, "[fault]")) {
        if (!strcmp(key, "call")) snprintf(faults[fault_count - 1].call, 96, "%s", value);
        if (!strcmp(key, "device")) faults[fault_count - 1].device = strcmp(value, "any") ? (int)number : ANY;
        if (!strcmp(key, "code")) faults[fault_count - 1].code = (int)number;
    } else if (!strcmp(section, "[process]") && node) {
        held_t *held = &node->held[node->processes - 1];
        if (!strcmp(key, "pid")) held->entry.pid = (unsigned)number;
        if (!strcmp(key, "used")) held->entry.used = number < 0 ? ~0ULL : (u64)number * MIB;
        if (!strcmp(key, "graphics")) held->graphics = (int)number;
    } else if (node) {
        if (!strcmp(key, "cc")) { sscanf(value, "%d.%d", &node->cc_major, &node->cc_minor); return; }
        TEXT(name) TEXT(uuid) TEXT(bus)
        NUMBER(total) NUMBER(reserved) NUMBER(used) NUMBER(mig) NUMBER(pending) NUMBER(ecc) NUMBER(display)
        NUMBER(mode) NUMBER(virtual_mode) NUMBER(power) NUMBER(default_power) NUMBER(generation) NUMBER(width)
        NUMBER(max_width) NUMBER(rows) NUMBER(sms) NUMBER(memory_mb) NUMBER(slices) NUMBER(gi) NUMBER(ci)
        NUMBER(slot)
    }
}

static node_t *new_node(int is_mig) {
    node_t *node = is_mig ? &instances[instance_count++] : &gpus[gpu_count++];
    memset(node, 0, sizeof *node);
    node->index = gpu_count - 1;
    node->is_mig = is_mig;
    node->slot = node->pending = -1;
    node->mig = node->ecc = node->display = node->virtual_mode = -NOT_SUPPORTED;
    node->power = node->default_power = node->rows = -NOT_SUPPORTED;
    node->generation = 4;
    node->width = node->max_width = 16;
    return node;
}

static int load(void) {
    char line[512], section[32] = "", *path = getenv("STAND_IN_NVML");
    node_t *node = NULL;
    FILE *file = path ? fopen(path, "rb") : NULL;
    gpu_count = instance_count = fault_count = 0;
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        char *equal = strchr(line, '=');
        if (line[0] == '[') {
            snprintf(section, sizeof section, "%.31s", line);
            if (!strcmp(section, "[gpu]")) node = new_node(0);
            if (!strcmp(section, "[mig]")) node = new_node(1);
            if (!strcmp(section, "[fault]")) faults[fault_count++].device = ANY;
            if (!strcmp(section, "[process]") && node) memset(&node->held[node->processes++], 0, sizeof(held_t));
        } else if (equal) {
            *equal = 0;
            set(section, node, line, equal + 1);
        }
    }
    fclose(file);
    return 1;
}

static int fault(const char *call, int device) {
    for (int i = 0; i < fault_count; i++) {
        if (strcmp(faults[i].call, call) && strcmp(faults[i].call, "any")) continue;
        if (faults[i].device != ANY && faults[i].device != device) continue;
        if (faults[i].code == HANG) for (;;) pause();
        if (faults[i].code == CRASH) raise(SIGSEGV);
        return faults[i].code;
    }
    return OK;
}

#define ENTER(device) do { int code = ready ? fault(__func__, device) : 1; if (code) return code; } while (0)
#define NEGATIVE_IS_CODE(value) do { if ((value) < 0) return (int)-(value); } while (0)
#define ASK(name, type, field) \
    int name(node_t *node, type *out) { ENTER(node->index); NEGATIVE_IS_CODE(node->field); *out = (type)node->field; return OK; }

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (!load()) return 9;
    int code = fault(__func__, ANY);
    ready = code == OK;
    return code;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { ENTER(ANY); return OK; }
const char *nvmlErrorString(int code) { (void)code; return "stand-in error"; }

static int copy(char *out, unsigned size, const char *text) {
    if (size <= strlen(text)) return TOO_SMALL;
    strcpy(out, text);
    return OK;
}
int nvmlSystemGetDriverVersion(char *out, unsigned size) { ENTER(ANY); return copy(out, size, driver); }
int nvmlSystemGetCudaDriverVersion(int *out) { ENTER(ANY); *out = (int)cuda_version; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { ENTER(ANY); *out = (int)cuda_version; return OK; }
int nvmlDeviceGetCount_v2(unsigned *out) { ENTER(ANY); *out = (unsigned)gpu_count; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, node_t **out) {
    ENTER((int)index);
    if ((int)index >= gpu_count) return INVALID;
    *out = &gpus[index];
    return OK;
}
int nvmlDeviceGetName(node_t *node, char *out, unsigned size) { ENTER(node->index); return copy(out, size, node->name); }
int nvmlDeviceGetUUID(node_t *node, char *out, unsigned size) { ENTER(node->index); return copy(out, size, node->uuid); }
int nvmlDeviceGetCudaComputeCapability(node_t *node, int *major, int *minor) {
    ENTER(node->index);
    *major = node->cc_major;
    *minor = node->cc_minor;
    return OK;
}

typedef struct { u64 total, free, used; } memory_1_t;
typedef struct { unsigned version; u64 total, reserved, free, used; } memory_2_t;
int nvmlDeviceGetMemoryInfo_v2(node_t *node, memory_2_t *out) {
    ENTER(node->index);
    NEGATIVE_IS_CODE(node->total);
    out->total = node->total * MIB;
    out->reserved = node->reserved * MIB;
    out->used = node->used * MIB;
    out->free = (node->total - node->reserved - node->used) * MIB;
    return OK;
}
int nvmlDeviceGetMemoryInfo(node_t *node, memory_1_t *out) {
    ENTER(node->index);
    NEGATIVE_IS_CODE(node->total);
    out->total = node->total * MIB;
    out->used = (node->reserved + node->used) * MIB;
    out->free = out->total - out->used;
    return OK;
}

int nvmlDeviceGetMigMode(node_t *node, unsigned *current, unsigned *pending) {
    ENTER(node->index);
    NEGATIVE_IS_CODE(node->mig);
    *current = (unsigned)node->mig;
    *pending = (unsigned)(node->pending < 0 ? node->mig : node->pending);
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(node_t *node, unsigned *out) { ENTER(node->index); *out = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(node_t *node, unsigned slot, node_t **out) {
    ENTER(node->index);
    for (int i = 0; i < instance_count; i++)
        if (instances[i].index == node->index && instances[i].slot == (int)slot) {
            *out = &instances[i];
            return OK;
        }
    return NOT_FOUND;
}
typedef struct { unsigned sms, copies, decoders, encoders, jpegs, ofas, slices, compute_slices; u64 memory_mb; } shape_t;
int nvmlDeviceGetAttributes_v2(node_t *node, shape_t *out) {
    ENTER(node->index);
    memset(out, 0, sizeof *out);
    out->sms = (unsigned)node->sms;
    out->slices = (unsigned)node->slices;
    out->memory_mb = (u64)node->memory_mb;
    return OK;
}
ASK(nvmlDeviceGetGpuInstanceId, unsigned, gi)
ASK(nvmlDeviceGetComputeInstanceId, unsigned, ci)
ASK(nvmlDeviceGetVirtualizationMode, unsigned, virtual_mode)
ASK(nvmlDeviceGetComputeMode, unsigned, mode)
ASK(nvmlDeviceGetDisplayActive, unsigned, display)
ASK(nvmlDeviceGetEnforcedPowerLimit, unsigned, power)
ASK(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, default_power)
ASK(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, generation)
ASK(nvmlDeviceGetMaxPcieLinkWidth, unsigned, max_width)
ASK(nvmlDeviceGetCurrPcieLinkWidth, unsigned, width)
int nvmlDeviceGetEccMode(node_t *node, unsigned *current, unsigned *pending) {
    ENTER(node->index);
    NEGATIVE_IS_CODE(node->ecc);
    *current = *pending = (unsigned)node->ecc;
    return OK;
}
int nvmlDeviceGetRemappedRows(node_t *node, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    ENTER(node->index);
    NEGATIVE_IS_CODE(node->rows);
    *corrected = *uncorrected = *failed = 0;
    *pending = (unsigned)node->rows;
    return OK;
}
typedef struct { char old_bus[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci_t;
int nvmlDeviceGetPciInfo_v3(node_t *node, pci_t *out) {
    ENTER(node->index);
    memset(out, 0, sizeof *out);
    return copy(out->bus_id, sizeof out->bus_id, node->bus);
}

static int list(node_t *node, unsigned *count, process_t *out, int graphics) {
    unsigned found = 0, room = *count;
    for (int i = 0; i < node->processes; i++)
        if (node->held[i].graphics == graphics && found++ < room && out) out[found - 1] = node->held[i].entry;
    *count = found;
    return found > room || (found && !out) ? TOO_SMALL : OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(node_t *node, unsigned *count, process_t *out) {
    ENTER(node->index);
    return list(node, count, out, 0);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(node_t *node, unsigned *count, process_t *out) {
    ENTER(node->index);
    return list(node, count, out, 1);
}
int nvmlDeviceGetP2PStatus(node_t *first, node_t *second, int capability, int *out) {
    (void)second;
    ENTER(first->index);
    int nvlink = !strcmp(link_kind, "nvlink"), peer = nvlink || !strcmp(link_kind, "p2p");
    *out = (capability == 2 ? nvlink : peer) ? 0 : 5;
    return OK;
}
