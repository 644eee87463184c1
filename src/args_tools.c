/* args_tools.c: the rows of the commands that work on files and on the machine. */
#include "src/args_table.h"

static const struct arg_example convert_examples[] = {
    {"bitnet convert FOLDER -o model.bnp", "a Hugging Face folder"},
    {"bitnet convert model.gguf -o model.bnp", "a GGUF file"},
    {NULL, NULL}};
static const struct arg_option convert_rows[] = {
    {"--output -o", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL, "the file to write", NULL},
    {"--body", "TYPE", ARG_WORD, ARG_BRIEF, 0, 0, "auto|t2|t1.6", "auto",
     "encoding of ternary matrices; auto: the fastest that loses nothing",
     "Binary matrices take one bit whatever this says."},
    {"--head", "TYPE", ARG_WORD, ARG_BRIEF, 0, 0, "i8|i8x2|i6|i4|f16", "i8",
     "encoding of embedding and head",
     "An embedding that is binary or ternary itself stays so, without loss. i8x2 is i8 in two "
     "planes of four bits: the same text, and where the best token stands out, as with --temp 0, "
     "or many records are decoded together, fewer bytes and less work."},
    {"--act", "KIND", ARG_WORD, 0, 0, 0, "i8|i8g32|i8g128|f32|i4|sign", NULL,
     "activations that the weights meet [as the family was trained]", NULL},
    {"--ffn-act --act-fn", "NAME", ARG_WORD, 0, 0, 0, "relu2|silu", NULL,
     "the feed-forward function [as the file says]",
     "For GGUF files of architecture bitnet, which do not say it."},
    {"--i2s-layout", "NAME", ARG_WORD, 0, 0, 0, "auto|128|64|4row", "auto",
     "how I2_S weights lie in a GGUF file",
     "Files written on ARM use blocks of 64, some older ones interleave four rows, and none of "
     "them says so; a wrong choice gives nonsense."},
    {"--threads -t", "N", ARG_INT, 0, 1, 256, NULL, NULL,
     "threads [one for each usable core]", "The file does not depend on it."},
    {0}};
static const struct arg_group convert_group = {"Conversion", convert_rows};
const struct arg_command command_convert = {
    "convert",
    "make a .bnp file of a published model",
    "[options] SOURCE -o FILE",
    convert_examples,
    "The file is written beside its target and renamed, so a failure leaves an old file whole.",
    {&convert_group, &group_general},
    1,
    1};

static const struct arg_example info_examples[] = {
    {"bitnet info model.bnp", "architecture, encodings, memory"},
    {"bitnet info -v model.bnp", "and every tensor"},
    {"bitnet info --json model.bnp", "for programs"},
    {NULL, NULL}};
static const struct arg_option info_rows[] = {
    {"--json", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "one JSON object", NULL},
    {"--ctx-size -c", "N", ARG_INT, ARG_BRIEF, 1, 1048576, NULL, NULL,
     "memory for a context of N tokens", NULL},
    {"--verbose -v", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "also every tensor; --json has them always", NULL},
    {0}};
static const struct arg_group info_group = {"Output", info_rows};
const struct arg_command command_info = {
    "info", "describe a model file", "[options] [FILE]", info_examples,
    "Without a file $BITNET_MODEL or the built-in model is described.",
    {&info_group, &group_general_less}, 0, 1};

static const struct arg_example verify_examples[] = {
    {"bitnet verify model.bnp", "every checksum, and every code"}, {NULL, NULL}};
const struct arg_command command_verify = {
    "verify", "check that model files are whole", "[options] [FILE...]", verify_examples,
    "Names the first tensor whose bytes are not those that were written, or that holds codes "
    "without a meaning. Without a file $BITNET_MODEL or the built-in model is checked.",
    {&group_general}, 0, -1};

static const struct arg_example tokenize_examples[] = {
    {"bitnet tokenize -p \"Hello\"", "the ids"},
    {"echo Hello | bitnet tokenize -v -m tokenizer.json", "ids and pieces"},
    {"echo 2045 442 466 258 402 | bitnet tokenize --decode", "back to text"},
    {NULL, NULL}};
static const struct arg_option tokenize_rows[] = {
    {"--model -m", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL,
     "a file with a vocabulary [$BITNET_MODEL, or the built-in one]", NULL},
    {"--prompt -p", "TEXT", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL, "the text [stdin]", NULL},
    {"--file -f", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL, "the text, from a file", NULL},
    {"--no-bos", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "no BOS token in front", NULL},
    {"--special", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "text like <|eot_id|> becomes its token", NULL},
    {"--decode", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "ids to text", NULL},
    {"--jsonl", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "one {\"text\": ...} per line; prints {\"ids\": [...]} for each",
     "With --decode it is the other way round. A record that failed gives {\"error\": ...} and "
     "makes the exit code 1."},
    {"--verbose -v", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "a line for each id, with the token's piece",
     "With --jsonl each object has the key pieces too."},
    {0}};
static const struct arg_group tokenize_group = {"Input and output", tokenize_rows};
const struct arg_command command_tokenize = {
    "tokenize", "turn text into token ids and back", "[options]", tokenize_examples,
    "Ids stand on one line; under --decode they may stand in brackets and with commas.",
    {&tokenize_group, &group_general_less}, 0, 0};

static const struct arg_example synth_examples[] = {
    {"bitnet synth --shape 2b-4t -o big.bnp", "random weights of a real shape"},
    {"bitnet synth --arch qwen3 --body b1g128 -o tiny.bnp", "small enough for a test"},
    {NULL, NULL}};
static const struct arg_option synth_rows[] = {
    {"--shape", "NAME", ARG_WORD, ARG_BRIEF, 0, 0, "2b-4t|qwen3-1.7b|0.7b|tiny", "tiny",
     "whose shape the network has", "tiny has a few odd sizes, for tests."},
    {"--output -o", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL, "the file to write", NULL},
    {"--seed", "N", ARG_INT, ARG_BRIEF, 0, ARG_HUGE, NULL, "1", "of the random weights",
     "The same seed gives the same values under every encoding that can hold them."},
    {"--arch", "NAME", ARG_WORD, ARG_BRIEF, 0, 0, "bitnet-b1.58|bitnet|llama|qwen3", NULL,
     "the network's parts [the shape's own]", NULL},
    {"--body", "TYPE", ARG_WORD, ARG_BRIEF, 0, 0,
     "t2|t1.6|b1|t2g32|t2g64|t2g128|t2g256|b1g32|b1g64|b1g128|b1g256|i8|i6|i4|f16", NULL,
     "encoding of the matrices inside the layers [the shape's own]", NULL},
    {"--head", "TYPE", ARG_WORD, ARG_BRIEF, 0, 0, "i8|i8x2|i6|i4|f16|t2|b1|t2g128|b1g128",
     NULL,
     "encoding of embedding and head [the shape's own]", NULL},
    {"--act", "KIND", ARG_WORD, ARG_BRIEF, 0, 0, "i8|i8g32|i8g128|f32|i4|sign", NULL,
     "activations that the weights meet [the network's own]", NULL},
    {"--scale", "KIND", ARG_WORD, 0, 0, 0, "tensor|row|column", NULL,
     "scales of a body whose encoding has none of its own", NULL},
    {"--with", "PART", ARG_WORD, ARG_MANY, 0, 0, "untied|norm-in|in-bias|yarn", NULL,
     "add an output matrix, input norms, input biases, YaRN", NULL},
    {0}};
static const struct arg_group synth_group = {"Model", synth_rows};
const struct arg_command command_synth = {
    "synth", "write a model of random weights, for tests", "[options] -o FILE", synth_examples,
    "Such a model has the shape, the size and the speed of a real one, and says nothing.",
    {&synth_group, &group_general}, 0, 0};

static const struct arg_example bench_examples[] = {
    {"bitnet bench -m model.bnp", "tokens per second, reading and writing"},
    {"bitnet bench -m model.bnp -t 1,2,4 --json", "for each count of threads, for programs"},
    {NULL, NULL}};
static const struct arg_option bench_rows[] = {
    {"--model -m", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL,
     "model: .bnp, GGUF or folder [$BITNET_MODEL, or the built-in one]", NULL},
    {"--prompt-tokens -p", "N", ARG_INT, ARG_BRIEF, 1, 1048576, NULL, "512",
     "tokens of the prompt, as many as fit if there are fewer", NULL},
    {"--predict -n", "N", ARG_INT, ARG_BRIEF, 1, 1048576, NULL, "64",
     "tokens of the answer", NULL},
    {"--runs -r", "N", ARG_INT, ARG_BRIEF, 1, 100, NULL, "5", "measurements of each", NULL},
    {"--threads -t", "LIST", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL,
     "threads: one number or several, such as 1,2,4 [the usable cores]", NULL},
    {"--json", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "one JSON object", NULL},
    {"--tier", "NAME", ARG_TEXT, 0, 0, 0, NULL, NULL,
     "force a CPU tier: scalar, avx2, avx512, neon, ...", NULL},
    {"--kv", "TYPE", ARG_WORD, 0, 0, 0, "f16|i8", "f16", "how the cache keeps keys and values",
     NULL},
    {"--act", "TYPE", ARG_WORD, 0, 0, 0, "model|i8|i8g32|i8g128|f32|i4|sign", "model",
     "what activations are rounded to; model: as it was trained", NULL},
    {"--no-cache", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "convert a foreign model for this run only", NULL},
    {0}};
static const struct arg_group bench_group = {"Measurement", bench_rows};
const struct arg_command command_bench = {
    "bench", "measure the speed of a model", "[options]", bench_examples,
    "Medians of several runs, with the least and the most. Reading weights is compared with a "
    "plain read of the same bytes by as many threads in the same minute.",
    {&bench_group, &group_general}, 0, 0};

static const struct arg_example bench_kernels_examples[] = {
    {"bitnet bench kernels", "every kernel of this CPU's tiers"},
    {"bitnet bench kernels -t 1,2,8 --kernel i8_i8", "one of them, on more cores"},
    {NULL, NULL}};
static const struct arg_option bench_kernels_rows[] = {
    {"--json", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "an array of rows",
     "Keys: kernel, encoding, act, tier, tokens, threads, resident (cache or dram), gb_per_s, "
     "pct_read, weights_per_ns, gop_per_s, pct_peak. Later versions only add keys."},
    {"--threads -t", "N,N,...", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL,
     "how many threads to measure with [1 and one for each usable core]", NULL},
    {"--tier", "NAME,...", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL,
     "only these tiers [all that this machine runs, without scalar]", NULL},
    {"--kernel", "NAME,...", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL,
     "only these kernels, as the first column names them", NULL},
    {"--seconds", "TIME", ARG_TIME, ARG_BRIEF, 0, 0, NULL, "0.08", "time for each row", NULL},
    {0}};
static const struct arg_group bench_kernels_group = {"Measurement", bench_kernels_rows};
const struct arg_command command_bench_kernels = {
    "bench kernels", "measure the kernels against the machine's limits", "[options]",
    bench_kernels_examples,
    "Each kernel stands beside the plain read speed and the multiply-add peak of the same run.",
    {&bench_kernels_group, &group_general}, 0, 0};

static const struct arg_example selftest_examples[] = {
    {"bitnet selftest", "compare every kernel of this CPU with the scalar one"}, {NULL, NULL}};
const struct arg_command command_selftest = {
    "selftest", "prove the kernels on this machine", "[options]", selftest_examples,
    "A short form of it runs at every start.", {&group_general}, 0, 0};
