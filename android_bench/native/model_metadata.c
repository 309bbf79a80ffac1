/* Walks the flatbuffer by hand: a TFLite runtime offers no way to read metadata, and its schema's compiled reader would
 * be a dependency for three fields. Every offset is checked against the end of the file. */
#include "model_metadata.h"

#include <string.h>

/* Fields of the tables Model and Metadata and Buffer in the TFLite schema. */
enum { MODEL_BUFFERS = 4, MODEL_METADATA = 6, METADATA_NAME = 0, METADATA_BUFFER = 1, BUFFER_DATA = 0 };

enum { LARGEST_COUNT = 1 << 24 }; /* of samples and frames */

/* Feature frames for one of the encoder, in files that do not say it (tfconformer/models/config.py). */
enum { USUAL_SUBSAMPLING = 4 };

static const char ENTRY_NAME[] = "TFCONFORMER";

typedef struct {
  MappedFile file;
  uint64_t at; /* 0: not there, or damaged */
} Place;

static uint32_t read_bytes(Place place, int count) {
  if (place.at == 0 || place.at + (uint64_t)count > place.file.size) return 0;
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value |= (uint32_t)place.file.bytes[place.at + (uint64_t)i] << (8 * i);
  return value;
}

static Place moved(Place place, uint64_t distance) {
  const uint64_t at = place.at + distance;
  return (Place){place.file, place.at == 0 || distance == 0 || at + 4 > place.file.size ? 0 : at};
}

/* The target of the offset at this place. */
static Place followed(Place place) { return moved(place, read_bytes(place, 4)); }

static Place field(Place table, int index) {
  const int32_t back = (int32_t)read_bytes(table, 4);
  const int64_t vtable = (int64_t)table.at - back;
  if (table.at == 0 || vtable <= 0) return (Place){table.file, 0};
  const Place entries = {table.file, (uint64_t)vtable};
  const uint32_t size = read_bytes(entries, 2), at = 4 + 2 * (uint32_t)index;
  return at + 2 > size ? (Place){table.file, 0} : moved(table, read_bytes(moved(entries, at), 2));
}

static Place table_of(Place vector, uint32_t index) {
  return index < read_bytes(vector, 4) ? followed(moved(vector, 4 + 4 * (uint64_t)index)) : (Place){vector.file, 0};
}

/* The bytes of a string or a byte vector; an empty document if they do not lie in the file. */
static JsonValue content(Place vector) {
  const uint64_t count = read_bytes(vector, 4);
  if (vector.at == 0 || vector.at + 4 + count > vector.file.size) return (JsonValue){0};
  const char* bytes = (const char*)vector.file.bytes + vector.at + 4;
  return (JsonValue){bytes, bytes + count};
}

static JsonValue find_entry(MappedFile file) {
  uint32_t root = 0; /* a file's first four bytes */
  if (file.size >= sizeof root) memcpy(&root, file.bytes, sizeof root);
  const Place model = {file, root};
  const Place entries = followed(field(model, MODEL_METADATA));
  const Place buffers = followed(field(model, MODEL_BUFFERS));
  const uint32_t count = read_bytes(entries, 4);
  for (uint32_t i = 0; i < count; ++i) {
    const Place entry = table_of(entries, i);
    const JsonValue name = content(followed(field(entry, METADATA_NAME)));
    if ((size_t)(name.end - name.begin) != sizeof ENTRY_NAME - 1 ||
        memcmp(name.begin, ENTRY_NAME, sizeof ENTRY_NAME - 1) != 0) {
      continue;
    }
    const uint32_t buffer = read_bytes(field(entry, METADATA_BUFFER), 4);
    const JsonValue found = content(followed(field(table_of(buffers, buffer), BUFFER_DATA)));
    return json_document(found.begin, (size_t)(found.end - found.begin));
  }
  return (JsonValue){0};
}

static int64_t integer_member(JsonValue object, const char* key) {
  JsonValue value;
  int64_t integer = 0;
  return json_member(object, key, &value) && json_to_integer(value, &integer) ? integer : 0;
}

/* A number that a hostile file cannot make the program run forever with; 0 for any other. */
static int64_t bounded(int64_t value) { return value >= 0 && value <= LARGEST_COUNT ? value : 0; }

static int64_t bounded_member(JsonValue object, const char* key) { return bounded(integer_member(object, key)); }

/* Samples of a frame of a graph for whole utterances, by the configuration of the front end and the encoder; 0:
 * unknown. */
static int64_t offline_frame_samples(JsonValue config) {
  JsonValue features, model, waveform, strides, element, stackers;
  const char* position = NULL;
  if (!json_member(config, "features", &features) || !json_member(config, "model", &model)) return 0;
  int64_t samples = bounded_member(features, "frame_step");
  if (bounded_member(model, "subsampling_channels") > 0) {
    const int64_t factor = bounded_member(model, "subsampling_factor");
    samples *= factor > 0 ? factor : USUAL_SUBSAMPLING;
  }
  if (json_member(model, "waveform", &waveform) && json_member(waveform, "strides", &strides)) {
    while (samples <= LARGEST_COUNT && json_next_element(strides, &position, &element)) {
      int64_t stride = 0;
      samples *= json_to_integer(element, &stride) ? bounded(stride) : 0;
    }
    position = NULL;
  }
  if (!json_member(model, "stackers", &stackers)) return samples;
  while (samples <= LARGEST_COUNT && json_next_element(stackers, &position, &element)) {
    samples *= bounded_member(element, "stride");
  }
  return samples <= LARGEST_COUNT ? samples : 0;
}

static int64_t sum_weight_bytes(JsonValue layers) {
  static const char* const parts[] = {"float_bytes", "code_bytes", "scale_bytes", "offset_bytes"};
  const char* position = NULL;
  JsonValue layer;
  int64_t sum = 0;
  while (json_next_element(layers, &position, &layer)) {
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; ++i) sum += integer_member(layer, parts[i]);
  }
  return sum;
}

/* The text of a string member; empty if there is none or it is too long for a name. */
static void read_name(JsonValue object, const char* key, char name[NAME_SIZE]) {
  JsonValue value;
  const char* text;
  size_t length;
  name[0] = '\0';
  if (!json_member(object, key, &value) || !json_raw_string(value, &text, &length) || length >= NAME_SIZE) return;
  memcpy(name, text, length);
  name[length] = '\0';
}

/* The name of the first tensor of that type in a list; empty if there is none. */
static void find_tensor(JsonValue graph, const char* list, const char* type, char name[NAME_SIZE]) {
  JsonValue tensors, tensor;
  const char* position = NULL;
  name[0] = '\0';
  if (!json_member(graph, list, &tensors)) return;
  while (name[0] == '\0' && json_next_element(tensors, &position, &tensor)) {
    char found[NAME_SIZE];
    read_name(tensor, "dtype", found);
    if (strcmp(found, type) == 0) read_name(tensor, "name", name);
  }
}

static Graph read_graph(JsonValue json) {
  Graph graph = {.lists_states = true};
  JsonValue stream;
  read_name(json, "signature", graph.signature);
  find_tensor(json, "inputs", "float32", graph.samples);
  find_tensor(json, "inputs", "int32", graph.count);
  find_tensor(json, "outputs", "float32", graph.output);
  find_tensor(json, "outputs", "int32", graph.frames);
  json_member(json, "states", &graph.states);
  if (json_member(json, "stream", &stream)) {
    graph.mode = MODE_STREAMING;
    read_name(stream, "flush_signature", graph.flush);
    graph.frame_samples = bounded_member(stream, "frame_samples");
    graph.delay_frames = bounded_member(stream, "delay_frames");
    graph.flush_samples = bounded_member(stream, "flush_samples");
  }
  return graph;
}

/* Format 1 has no list of graphs: their names are fixed. */
static void read_format_1(ModelMetadata* metadata) {
  static const Graph offline = {.signature = "transcribe", .samples = "waveform", .output = "logits"};
  static const Graph stream = {
      .signature = "encode_step",
      .samples = "audio",
      .count = "count",
      .output = "logits",
      .frames = "frames",
      .mode = MODE_STREAMING,
      .flush = "flush",
  };
  JsonValue description;
  memcpy(metadata->search, "ctc", sizeof "ctc");
  metadata->graph[metadata->graphs++] = offline;
  metadata->graph[metadata->graphs] = stream;
  if (json_member(metadata->json, "streaming", &description)) {
    metadata->graph[metadata->graphs].frame_samples = bounded_member(description, "frame_samples");
    metadata->graph[metadata->graphs].delay_frames = bounded_member(description, "delay_frames");
    metadata->graph[metadata->graphs].flush_samples = bounded_member(description, "flush_samples");
  }
  ++metadata->graphs;
}

static void read_format_2(ModelMetadata* metadata) {
  JsonValue task, graphs, graph;
  const char* position = NULL;
  metadata->lists_graphs = true;
  if (json_member(metadata->json, "task", &task)) {
    read_name(task, "name", metadata->task);
    read_name(task, "search", metadata->search);
    metadata->max_symbols = bounded_member(task, "max_symbols");
    metadata->label_delay_ms = bounded_member(task, "label_delay_ms");
  }
  if (!json_member(metadata->json, "graphs", &graphs)) return;
  while (metadata->graphs < MAX_GRAPHS && json_next_element(graphs, &position, &graph)) {
    metadata->graph[metadata->graphs++] = read_graph(graph);
  }
}

ModelMetadata read_model_metadata(MappedFile file) {
  ModelMetadata metadata = {.json = find_entry(file)};
  JsonValue config = {0}, features, layers;
  if (json_member(metadata.json, "config", &config) && json_member(config, "features", &features)) {
    metadata.sample_rate = bounded_member(features, "sample_rate");
  }
  if (json_member(metadata.json, "layers", &layers)) metadata.weight_bytes = sum_weight_bytes(layers);
  if (integer_member(metadata.json, "format") == 2) {
    read_format_2(&metadata);
  } else {
    read_format_1(&metadata);
  }
  for (int i = 0; i < metadata.graphs; ++i) {
    if (metadata.graph[i].mode == MODE_OFFLINE) metadata.graph[i].frame_samples = offline_frame_samples(config);
  }
  return metadata;
}

const char* mode_name(Mode mode) { return mode == MODE_OFFLINE ? "offline" : "streaming"; }

const Graph* find_audio_graph(const ModelMetadata* metadata, Mode mode) {
  /* Of format 2 it is the first one; format 1 does not say which ones there are. */
  const int candidates = metadata->lists_graphs && metadata->graphs > 0 ? 1 : metadata->graphs;
  for (int i = 0; i < candidates; ++i) {
    if (metadata->graph[i].mode == mode) return &metadata->graph[i];
  }
  return NULL;
}

double frame_seconds(const ModelMetadata* metadata, const Graph* graph) {
  return metadata->sample_rate == 0 ? 0 : (double)graph->frame_samples / (double)metadata->sample_rate;
}

const Graph* find_graph(const ModelMetadata* metadata, const char* signature) {
  for (int i = 0; i < metadata->graphs; ++i) {
    if (strcmp(metadata->graph[i].signature, signature) == 0) return &metadata->graph[i];
  }
  return NULL;
}

bool graph_has_state(const Graph* graph, const char* name) {
  JsonValue state;
  const char* position = NULL;
  while (json_next_element(graph->states, &position, &state)) {
    char found[NAME_SIZE];
    read_name(state, "name", found);
    if (strcmp(found, name) == 0) return true;
  }
  return false;
}
