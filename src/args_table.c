/* args_table.c: the list of commands, and the rows of options that several of them
 * share. */
#include "src/args_table.h"

const char arg_date[] = "November 23, 2026";

const struct arg_command *const arg_commands[] = {
    &command_run, &command_chat, &command_grep, &command_embed, &command_convert, &command_info,
    &command_verify, &command_tokenize, &command_perplexity, &command_logits, &command_bench,
    &command_bench_kernels, &command_selftest, &command_synth, &command_doctor, &command_help,
    NULL};

static const struct arg_example exit_codes[] = {
    {"0", "done; for --yesno: yes"},
    {"1", "could not: a file, memory, the network's numbers; or a record failed; for --yesno: no"},
    {"2", "the command line is wrong"},
    {"3", "cannot decide: the best two answers are closer than --margin"},
    {"4", "cut short by a limit, under --strict"},
    {"5", "the model or another input file is damaged or of a kind that is not understood; for "
          "--yesno: whatever else kept it from an answer"},
    {"128+n", "ended by signal n: 130 Ctrl-C, 141 closed pipe, 143 SIGTERM"},
    {NULL, NULL}};

/* A failure of grep is told as grep tells it. */
static const struct arg_example grep_exit_codes[] = {
    {"0", "a line matched"},
    {"1", "no line matched"},
    {"2", "the command line is wrong, or it could not: a file, memory, a line too long; with -q "
          "only when no line matched"},
    {"3", "no line matched, and for one or more yes and no were closer than --margin"},
    {"5", "the model is damaged or of a kind that is not understood"},
    {"128+n", "ended by signal n: 130 Ctrl-C, 141 closed pipe, 143 SIGTERM"},
    {NULL, NULL}};

const struct arg_example *args_exit_codes(const struct arg_command *command)
{
    return command == &command_grep ? grep_exit_codes : exit_codes;
}

const struct arg_example arg_environment[] = {
    {"BITNET_MODEL", "the model when -m is not given; without it the one inside the program"},
    {"NO_COLOR", "when set and not empty: no colour unless --color always"},
    {"TERM", "dumb: no colour, no line editing"},
    {"XDG_STATE_HOME", "the chat's history is bitnet/history in this folder, or in "
                       "~/.local/state"},
    {"XDG_CACHE_HOME", "converted models are kept in bitnet/ in this folder, or in ~/.cache"},
    {NULL, NULL}};

static const struct arg_option general[] = {
    {"--verbose -v", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "say what is done and how long it took, on stderr", NULL},
    {"--quiet -q", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL, "no notes and no progress on stderr",
     "Errors are still told."},
    {"--help -h", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL, "this help", NULL},
    {0}};
const struct arg_group group_general = {"General", general};
/* For commands whose -v asks for more on standard output. */
const struct arg_group group_general_less = {"General", general + 1};

static const struct arg_option engine[] = {
    {"--model -m", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL,
     "model: .bnp, GGUF or folder [$BITNET_MODEL, or the built-in one]", NULL},
    {"--ctx-size -c", "N", ARG_INT, ARG_BRIEF, 1, 1048576, NULL, NULL,
     "tokens that fit into the context [the model's, at most 4096]", NULL},
    {"--threads -t", "N", ARG_INT, ARG_BRIEF, 1, 256, NULL, NULL,
     "threads [one for each usable core]", "The text does not depend on it."},
    {"--tier", "NAME", ARG_TEXT, 0, 0, 0, NULL, NULL,
     "force a CPU tier: scalar, avx2, avx512, neon, ...",
     "A tier that this CPU cannot run is an error. The text does not depend on it. "
     "bitnet doctor names the tiers."},
    {"--kv", "TYPE", ARG_WORD, 0, 0, 0, "f16|i8", "f16",
     "how the cache keeps keys and values; i8 takes half the memory", NULL},
    {"--act", "TYPE", ARG_WORD, 0, 0, 0, "model|i8|i8g32|i8g128|f32|i4|sign", "model",
     "what activations are rounded to; model: as it was trained", NULL},
    {"--no-cache", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "convert a foreign model for this run only",
     "Else a GGUF file or a Hugging Face folder is converted once and kept in "
     "$XDG_CACHE_HOME/bitnet, or ~/.cache/bitnet, where it is found by its content."},
    {0}};
const struct arg_group group_engine = {"Model and machine", engine};

static const struct arg_option prompt[] = {
    {"--prompt -p", "TEXT", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL,
     "the prompt; for piped text the instruction, {} its place",
     "Without {} the text comes first, then an empty line, then the instruction. An empty text is "
     "left out."},
    {"--file -f", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL,
     "the prompt, or with -p the text, from a file",
     "Standard input is then not read. The line end behind the text, \\n or \\r\\n, is dropped."},
    {"--system -sys --system-prompt", "TEXT", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL,
     "the system message", NULL},
    {"--template --chat-template", "NAME", ARG_TEXT, 0, 0, 0, NULL, NULL,
     "chat template: bitnet, llama3, chatml, falcon3, falcon-e, plain",
     "The default is the model's own. plain joins the texts and adds nothing."},
    {"--raw --no-conversation -no-cnv", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "no template: the model continues the text as it stands", NULL},
    {"--escape -e", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "\\n, \\t, \\r and \\\\ in prompt, --system and --stop mean what they mean in C", NULL},
    {"--fit", "HOW", ARG_WORD, 0, 0, 0, "error|head|tail|middle", "error",
     "text longer than the context: refuse it, keep its head, its tail, or cut its middle out",
     "Instruction and template stay whole. Room for the answer is kept: what -n says, else a "
     "quarter of the context and at most 256 tokens."},
    {0}};
const struct arg_group group_prompt = {"Prompt", prompt};

static const struct arg_option sampling[] = {
    {"--temp --temperature", "X", ARG_REAL, ARG_BRIEF, 0, 100, NULL, "0.8",
     "0: the likeliest token after penalties; higher: more surprising",
     "The repetition penalty holds at 0 too; --repeat-penalty 1 turns it off."},
    {"--top-k", "N", ARG_INT, 0, 0, 1000000, NULL, "40", "draw among the N likeliest; 0: all",
     NULL},
    {"--top-p", "X", ARG_REAL, 0, 0, 1, NULL, "1",
     "draw among the likeliest that together have this probability", NULL},
    {"--min-p", "X", ARG_REAL, 0, 0, 1, NULL, "0",
     "leave out what is less likely than X times the likeliest", NULL},
    {"--repeat-penalty --repetition-penalty", "X", ARG_REAL, 0, 0.01, 100, NULL, "1.1",
     "make tokens that were there less likely; 1: off", NULL},
    {"--repeat-last-n", "N", ARG_INT, 0, 0, 1048576, NULL, "64",
     "how many of the last tokens the penalties look at", NULL},
    {"--presence-penalty", "X", ARG_REAL, 0, -100, 100, NULL, "0",
     "subtracted once from the logit of a token that was there", NULL},
    {"--frequency-penalty", "X", ARG_REAL, 0, -100, 100, NULL, "0",
     "subtracted for each time that the token was there", NULL},
    {"--logit-bias", "ID(+/-)X", ARG_TEXT, ARG_MANY, 0, 0, NULL, NULL,
     "add X to the logit of a token: 15043+1.5, 15043-inf forbids it", NULL},
    {"--ignore-eos", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "the model cannot end its answer", NULL},
    {"--seed -s", "N", ARG_INT, ARG_BRIEF, 0, ARG_HUGE, NULL, "1",
     "the same seed gives the same text, on every machine", NULL},
    {0}};
const struct arg_group group_sampling = {"Sampling", sampling};

static const struct arg_option answer[] = {
    {"--predict -n --n-predict", "N", ARG_INT, ARG_BRIEF, -1, 1048576, NULL, "-1",
     "stop after N tokens; -1: when model or context end", NULL},
    {"--stop -r --reverse-prompt", "TEXT", ARG_TEXT, ARG_BRIEF | ARG_MANY, 0, 0, NULL, NULL,
     "end before this text; can be given many times", NULL},
    {"--until", "WHAT", ARG_WORD, 0, 0, 0, "newline|sentence", NULL,
     "end after the first line or sentence", "Blanks in front of it are dropped."},
    {"--time-limit", "TIME", ARG_TIME, 0, 0, 0, NULL, NULL,
     "end after this time: 2s, 500ms, 1.5m", NULL},
    {"--max-bytes", "N", ARG_INT, 0, 1, ARG_HUGE, NULL, NULL,
     "end before the answer has more bytes; characters stay whole", NULL},
    {"--strict", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "exit 4 when a limit cut the answer or --fit the text",
     "Limits are -n, -c, --time-limit and --max-bytes."},
    {"--choices", "A,B,C", ARG_TEXT, ARG_BRIEF | ARG_MANY, 0, 0, NULL, NULL,
     "answer with the likeliest of these, nothing else",
     "Each is scored by the exact log-probability of its tokens after the prompt. A space is "
     "put before it where the prompt ends in a letter or a sign. \\, stands for a comma."},
    {"--yesno", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "answer yes (exit 0) or no (exit 1); with -q by exit code alone",
     "Whatever keeps it from an answer, such as a text that does not fit, ends with 5, never with "
     "1. With --each-line 1 means that a record failed, as without --yesno."},
    {"--margin", "X", ARG_REAL, 0, 0, 1000, NULL, "0",
     "exit 3 when the best two choices differ by less, in nats", NULL},
    {"--logprobs", "N", ARG_INT, 0, 0, 100, NULL, NULL,
     "with --json: log-probabilities of each token and of the N likeliest", NULL},
    {"--json", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "print one JSON object instead of the text",
     "Version 1 has the keys version, text, ids, finish (eos, stop, until, length, context, "
     "time, bytes, interrupt), n_prompt, n_generated, seed, model, prompt_ms, generate_ms, "
     "tok_per_s, and on demand logprobs; with choices: version, answer (null when undecided), "
     "margin, choices (text, logprob, n_tokens), n_prompt, model. Later versions only add keys."},
    {"--no-display-prompt", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "accepted for llama.cpp's scripts: the prompt is never printed", NULL},
    {"--dry-run", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "print the rendered prompt, its ids and the memory needed; read no weights", NULL},
    {"--color", "WHEN", ARG_WORD, 0, 0, 0, "auto|always|never", "auto",
     "colour of the prompt in a chat", NULL},
    {0}};
const struct arg_group group_answer = {"Answer", answer};

static const struct arg_option records[] = {
    {"--each-line", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "each line of input is a record; one line of output for each",
     "A line ends with \\n or \\r\\n; nothing else is taken off. "
     "Newlines and backslashes in an answer are printed as \\n and \\\\. The seed of a record "
     "comes from --seed and its bytes, so splitting the input changes nothing. The context is "
     "2048 tokens unless -c says otherwise."},
    {"--null -0", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "records and answers end with a NUL byte instead; implies --each-line", NULL},
    {"--jsonl", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "records and answers are JSON objects, one per line",
     "A record has the key text (or prompt) and may have id, system, n, temp, top_k, top_p, "
     "min_p, seed and stop. The answer has the keys of --json, with id and i, the record's "
     "number from 0; for a record that failed: version, i, id, error."},
    {"--batch", "N", ARG_INT, 0, 1, 64, NULL, "8", "records decoded together",
     "The output does not depend on it."},
    {0}};
const struct arg_group group_records = {"Many records", records};
