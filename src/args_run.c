/* args_run.c: the rows of the commands that run a model. */
#include "src/args_table.h"

static const struct arg_example run_examples[] = {
    {"bitnet -p \"Once upon a time\"", "the built-in model tells a story"},
    {"bitnet -m model.bnp -f mail -p \"Sum up: {}\"", "a file and what to do with it"},
    {"git diff | bitnet -q --yesno -p \"Adds a secret?\"", "an answer for if"},
    {"bitnet --each-line -p \"Mood: {}\" --choices up,down <f", "many records"},
    {NULL, NULL}};
const struct arg_command command_run = {
    "run",
    "continue or answer a prompt (the default command)",
    "[options] [PROMPT]",
    run_examples,
    "The answer goes to standard output and nothing else does. A prompt comes from -p, from -f, "
    "or from standard input when that is a file or a pipe. With -p, a file or piped text is the "
    "text that the prompt speaks of; give </dev/null where that is not meant, as inside while read. "
    "Without a prompt, on a terminal, a chat starts.\n\n"
    "The defaults (temperature 0.8, top-k 40, repetition penalty 1.1, seed 1) are fixed: the same "
    "command gives the same bytes on every machine, for every number of threads.\n\n"
    "What the model says is printed as whole UTF-8 characters; a byte that cannot be part of one "
    "becomes U+FFFD.",
    {&group_prompt, &group_answer, &group_sampling, &group_records, &group_engine, &group_general},
    0,
    1};

static const struct arg_example chat_examples[] = {
    {"bitnet chat -m model.bnp", "talk; /help lists what can be typed"},
    {"bitnet chat -m model.bnp --system \"Answer in rhyme.\"", "with a system message"},
    {NULL, NULL}};
static const struct arg_option chat_rows[] = {
    {"--system -sys --system-prompt", "TEXT", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL,
     "the system message", NULL},
    {"--template --chat-template", "NAME", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL,
     "chat template: bitnet, llama3, chatml, falcon3, falcon-e, plain", NULL},
    {"--load", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL, "go on with a saved chat", NULL},
    {"--predict -n --n-predict", "N", ARG_INT, ARG_BRIEF, -1, 1048576, NULL, "-1",
     "end a turn after N tokens; -1: when the model ends it", NULL},
    {"--stop -r --reverse-prompt", "TEXT", ARG_TEXT, ARG_MANY, 0, 0, NULL, NULL,
     "end a turn before this text; can be given many times", NULL},
    {"--escape -e", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "\\n, \\t, \\r and \\\\ in --system and --stop mean what they mean in C", NULL},
    {"--color", "WHEN", ARG_WORD, 0, 0, 0, "auto|always|never", "auto",
     "colour of the prompt in a chat", NULL},
    {0}};
static const struct arg_group chat_group = {"Chat", chat_rows};
const struct arg_command command_chat = {
    "chat",
    "talk with a model, turn by turn",
    "[options]",
    chat_examples,
    "A line is a message; a line that ends in a backslash goes on in the next one, and a line of "
    "three quotes (\"\"\") starts and ends a message of many lines. /reset forgets the chat, "
    "/save FILE and /load FILE keep it and bring it back as one JSON object per message, "
    "/system TEXT changes the system message and starts anew, /stats tells counts and speed, "
    "/help lists these, /quit ends. Ctrl-C stops the answer; twice it ends the chat.\n\n"
    "What was read is kept and not read again. When the context is full, the oldest turns are "
    "dropped until half of it is free, the system message stays, and a note says so.\n\n"
    "With input that is not a terminal each line is a message, and only the answers are printed.",
    {&chat_group, &group_sampling, &group_engine, &group_general},
    0,
    0};

static const struct arg_example grep_examples[] = {
    {"bitnet grep -m model.bnp \"is this about billing?\" mails.txt", "lines that are"},
    {"tail -f log | bitnet grep -m model.bnp \"is this an attack?\"", "as they come"},
    {NULL, NULL}};
static const struct arg_option grep_rows[] = {
    {"--invert-match -v", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "print the lines for which the answer is no", NULL},
    {"--count -c", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "print how many lines", NULL},
    {"--line-number -n", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "the line's number in front of it", NULL},
    {"--quiet -q", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "print nothing; end at the first match with exit 0", NULL},
    {"--files-with-matches -l", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "print the names of files with a match only", NULL},
    {"--no-filename -h", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "no file name in front of a line", NULL},
    {"--with-filename -H", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "the file name in front, as with several files", NULL},
    {"--margin", "X", ARG_REAL, ARG_BRIEF, 0, 1000, NULL, "0",
     "lines whose yes and no differ by less, in nats, do not match either way", NULL},
    {"--system -sys --system-prompt", "TEXT", ARG_TEXT, 0, 0, 0, NULL, NULL,
     "the system message", NULL},
    {"--template --chat-template", "NAME", ARG_TEXT, 0, 0, 0, NULL, NULL,
     "chat template: bitnet, llama3, chatml, falcon3, falcon-e, plain", NULL},
    {"--model -m", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL,
     "model file [$BITNET_MODEL, or the built-in one]", NULL},
    {"--ctx-size", "N", ARG_INT, 0, 1, 1048576, NULL, "2048", "tokens that fit into the context",
     NULL},
    {"--threads -t", "N", ARG_INT, 0, 1, 256, NULL, NULL,
     "threads [one for each usable core]", NULL},
    {"--tier", "NAME", ARG_TEXT, 0, 0, 0, NULL, NULL, "force a CPU tier", NULL},
    {"--kv", "TYPE", ARG_WORD, 0, 0, 0, "f16|i8", "f16",
     "how the cache keeps keys and values", NULL},
    {"--act", "TYPE", ARG_WORD, 0, 0, 0, "model|i8|i8g32|i8g128|f32|i4|sign", "model",
     "what activations are rounded to", NULL},
    {"--no-cache", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "convert a foreign model into a temporary file", NULL},
    {"--verbose", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL,
     "say what is done and how long it took, on stderr", NULL},
    {"--help", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL, "this help", NULL},
    {0}};
static const struct arg_group grep_group = {"Options", grep_rows};
const struct arg_command command_grep = {
    "grep",
    "print the lines for which the answer to a question is yes",
    "[options] QUESTION [FILE...]",
    grep_examples,
    "For each line the model is asked the question, and the log-probabilities of the answers yes "
    "and no are compared. Without a file, or for -, standard input is read. The letters mean "
    "what they mean to grep.",
    {&grep_group},
    1,
    -1};

static const struct arg_example embed_examples[] = {
    {"bitnet embed -m model.bnp -p \"a text\"", "its vector, on one line"},
    {"bitnet embed -m model.bnp --format raw -o vectors.f32 <texts", "one vector for each line"},
    {NULL, NULL}};
static const struct arg_option embed_rows[] = {
    {"--prompt -p", "TEXT", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL, "one text", NULL},
    {"--file -f", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, "-", "one text on each line", NULL},
    {"--output -o", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, "-", "where the vectors go", NULL},
    {"--format", "HOW", ARG_WORD, ARG_BRIEF, 0, 0, "text|json|raw", "text",
     "numbers with blanks, a JSON array, or raw float32", NULL},
    {0}};
static const struct arg_group embed_group = {"Input and output", embed_rows};
const struct arg_command command_embed = {
    "embed",
    "turn texts into vectors of length one",
    "[options]",
    embed_examples,
    "The vector is the network's state after the last token, divided by its Euclidean length. "
    "Raw vectors are little-endian float32, one after the other.",
    {&embed_group, &group_engine, &group_general},
    0,
    0};

static const struct arg_example perplexity_examples[] = {
    {"bitnet perplexity -m model.bnp -f text.txt", "of a text"},
    {"bitnet perplexity -m model.bnp --jsonl -f texts.jsonl", "of records {\"text\": ...}"},
    {NULL, NULL}};
static const struct arg_option perplexity_rows[] = {
    {"--file -f", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, "-", "the text", NULL},
    {"--jsonl", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "one {\"text\": ...} per line; prints {\"i\", \"n\", \"nll\", \"perplexity\"} for each, then "
     "the total",
     "i is the record's number from 0. The last line is the total, with n_ctx in the place of i. "
     "A record that failed gives {\"i\", \"error\"}, is left out of the total, and makes the exit "
     "code 1."},
    {"--eos", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "with --jsonl: each record ends with the model's end token, which counts", NULL},
    {"--json", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "the total as JSON", NULL},
    {0}};
static const struct arg_group perplexity_group = {"Input and output", perplexity_rows};
const struct arg_command command_perplexity = {
    "perplexity",
    "how well a model predicts a text",
    "[options]",
    perplexity_examples,
    "A text is cut into windows that fill the context, each behind the BOS token where the model "
    "has one; every token but the first of a window is predicted from those before it. A record "
    "of --jsonl is one window, cut to the context. The perplexity is exp(nll / n): nll is the "
    "sum of -ln p over the n predicted tokens.",
    {&perplexity_group, &group_engine, &group_general},
    0,
    0};

static const struct arg_example logits_examples[] = {
    {"bitnet logits -m model.bnp -p \"Once upon\" -o logits.f32", "a row for each token"},
    {"bitnet logits -m model.bnp --ids \"2045 442 466\" -o - | od -f | head", "of these ids"},
    {NULL, NULL}};
static const struct arg_option logits_rows[] = {
    {"--ids", "IDS", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL, "token ids, with blanks or commas",
     NULL},
    {"--ids-file", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, NULL,
     "token ids as raw little-endian int32", NULL},
    {"--prompt -p", "TEXT", ARG_TEXT, ARG_BRIEF, 0, 0, NULL, NULL,
     "a text; BOS is put first where the model wants it", NULL},
    {"--output -o", "FILE", ARG_FILE, ARG_BRIEF, 0, 0, NULL, "-", "where the rows go", NULL},
    {"--one-by-one", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL,
     "feed the tokens one at a time; the rows are the same bytes", NULL},
    {0}};
static const struct arg_group logits_group = {"Input and output", logits_rows};
const struct arg_command command_logits = {
    "logits",
    "write the raw output of the network",
    "[options] (--ids IDS | --ids-file FILE | -p TEXT)",
    logits_examples,
    "For each token one row of little-endian float32, as many as the vocabulary has entries: the "
    "scores of the token that comes next.",
    {&logits_group, &group_engine, &group_general},
    0,
    0};

static const struct arg_example doctor_examples[] = {
    {"bitnet doctor", "this machine"},
    {"bitnet doctor -m model.bnp --json", "and what it makes of a model"},
    {NULL, NULL}};
static const struct arg_option doctor_rows[] = {
    {"--json", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "one JSON object", NULL},
    {0}};
static const struct arg_group doctor_group = {"Output", doctor_rows};
const struct arg_command command_doctor = {
    "doctor",
    "look at this machine: what it can do and what slows it down",
    "[options]",
    doctor_examples,
    "Tells the CPU and the tier in use, the cores that may be used (affinity, container quota, "
    "performance and efficiency cores, SMT, NUMA), the read speed of memory as measured now, huge "
    "pages, memory against the size of the model, and the tokens per second to expect: read "
    "speed divided by the bytes that one token reads. Every warning names its remedy.",
    {&doctor_group, &group_engine, &group_general},
    0,
    0};

static const struct arg_example help_examples[] = {
    {"bitnet help run", "what --help of run prints"},
    {"bitnet help --all run", "every option with its full text"},
    {"bitnet help --completion bash >>~/.bashrc", "completion, also zsh and fish"},
    {NULL, NULL}};
static const struct arg_option help_rows[] = {
    {"--all", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "every option, in full", NULL},
    {"--man", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "the man page, for man -l", NULL},
    {"--completion", "SHELL", ARG_WORD, ARG_BRIEF, 0, 0, "bash|zsh|fish", NULL,
     "the completion script of a shell", NULL},
    {"--list", NULL, ARG_FLAG, ARG_BRIEF, 0, 0, NULL, NULL, "the names of the commands", NULL},
    {"--help -h", NULL, ARG_FLAG, 0, 0, 0, NULL, NULL, "this help", NULL},
    {0}};
static const struct arg_group help_group = {"Options", help_rows};
const struct arg_command command_help = {
    "help", "explain a command", "[options] [COMMAND]", help_examples,
    "Help, man pages and completions are made from the table that the parser reads.",
    {&help_group}, 0, 2};
