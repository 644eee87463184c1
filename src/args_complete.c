/* args_complete.c: the table as completion scripts for bash, zsh and fish. */
#include "src/args.h"

#include <string.h>

/* text inside single quotes of a shell; fish also wants its backslashes doubled. */
static void print_quoted(FILE *out, const char *text, bool fish)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs(fish ? "\\'" : "'\\''", out);
        else if (*text == '\\' && fish)
            fputs("\\\\", out);
        else
            fputc(*text, out);
    }
}

static void print_words(FILE *out, const char *words)
{
    for (; *words != '\0'; words++)
        fputc(*words == '|' ? ' ' : *words, out);
}

/* All spellings of all options of one kind, separated by `between`. */
static size_t print_spellings(FILE *out, const struct arg_option *o, const char *between)
{
    const char *s;
    size_t n, i;
    for (i = 0; (s = args_spelling(o, i, &n)) != NULL; i++)
        fprintf(out, "%s%.*s", i > 0 ? between : "", (int)n, s);
    return i;
}

static void print_bash(FILE *out)
{
    fputs("# bitnet completion for bash\n_bitnet()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local command=${COMP_WORDS[1]} options='' names=''\n    COMPREPLY=()\n"
          "    [[ $command == bench && ${COMP_WORDS[2]} == kernels ]] && command='bench kernels'\n"
          "    case $command in\n",
          out);
    for (size_t c = 0; arg_commands[c] != NULL; c++) {
        const struct arg_option *o;
        fprintf(out, "    '%s')\n        options='", arg_commands[c]->name);
        for (size_t i = 0; (o = args_row(arg_commands[c], i, NULL)) != NULL; i++) {
            fputs(i > 0 ? " " : "", out);
            print_spellings(out, o, " ");
        }
        fputs("'\n        case $prev in\n", out);
        for (size_t i = 0; (o = args_row(arg_commands[c], i, NULL)) != NULL; i++) {
            if (o->kind == ARG_FLAG)
                continue;
            fputs("        ", out);
            print_spellings(out, o, "|");
            if (o->kind == ARG_WORD) {
                fputs(") mapfile -t COMPREPLY < <(compgen -W '", out);
                print_words(out, o->words);
                fputs("' -- \"$cur\"); return ;;\n", out);
            } else if (o->kind == ARG_FILE) {
                fputs(") mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n", out);
            } else {
                fputs(") return ;;\n", out);
            }
        }
        fputs("        esac ;;\n", out);
    }
    fputs("    esac\n    names='", out);
    for (size_t c = 0; arg_commands[c] != NULL; c++)
        fprintf(out, "%s%s", c > 0 ? " " : "", arg_commands[c]->name);
    fputs("'\n    if [[ $cur == -* ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")\n"
          "    elif [[ $COMP_CWORD -eq 1 || $prev == help ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$names\" -- \"$cur\")\n"
          "    else\n        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n    fi\n}\n"
          "complete -F _bitnet bitnet\n",
          out);
}

/* zsh takes "[...]" for the text and ":" for the parts of a specification. */
static void print_zsh_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("[]:\\", *text) != NULL)
            fputc('\\', out);
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    }
}

static void print_zsh_option(FILE *out, const struct arg_option *o)
{
    const char *s;
    size_t n;
    for (size_t i = 0; (s = args_spelling(o, i, &n)) != NULL; i++) {
        fprintf(out, "        '*%.*s[", (int)n, s);
        print_zsh_text(out, o->help);
        fputc(']', out);
        if (o->kind != ARG_FLAG) {
            fputc(':', out);
            print_zsh_text(out, o->metavar);
            if (o->kind == ARG_WORD) {
                fputs(":(", out);
                print_words(out, o->words);
                fputc(')', out);
            } else {
                fputs(o->kind == ARG_FILE ? ":_files" : ": ", out);
            }
        }
        fputs("' \\\n", out);
    }
}

static void print_zsh(FILE *out)
{
    fputs("#compdef bitnet\n# bitnet completion for zsh\n_bitnet()\n{\n"
          "    local -a names\n    names=(\n",
          out);
    for (size_t c = 0; arg_commands[c] != NULL; c++) {
        if (strchr(arg_commands[c]->name, ' ') != NULL)
            continue;
        fprintf(out, "        '%s:", arg_commands[c]->name);
        print_quoted(out, arg_commands[c]->summary, false);
        fputs("'\n", out);
    }
    fputs("    )\n    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n"
          "        _describe command names\n        return\n    fi\n"
          "    local command=$words[2]\n"
          "    [[ $command == bench && $words[3] == kernels ]] && command='bench kernels'\n"
          "    [[ $command == -* ]] && command=run\n    case $command in\n",
          out);
    for (size_t c = 0; arg_commands[c] != NULL; c++) {
        const struct arg_option *o;
        fprintf(out, "    '%s')\n        _arguments \\\n", arg_commands[c]->name);
        for (size_t i = 0; (o = args_row(arg_commands[c], i, NULL)) != NULL; i++)
            print_zsh_option(out, o);
        fputs("        '*:file:_files' ;;\n", out);
    }
    fputs("    esac\n}\nif [[ $funcstack[1] == _bitnet ]]; then\n    _bitnet \"$@\"\nelse\n"
          "    compdef _bitnet bitnet\nfi\n",
          out);
}

static void print_fish_option(FILE *out, const struct arg_command *c, const struct arg_option *o)
{
    const char *s;
    size_t n;
    fprintf(out, "complete -c bitnet -n '__bitnet_command \"%s\"'", c->name);
    for (size_t i = 0; (s = args_spelling(o, i, &n)) != NULL; i++) {
        if (s[1] == '-')
            fprintf(out, " -l %.*s", (int)n - 2, s + 2);
        else
            fprintf(out, " %s %.*s", n == 2 ? "-s" : "-o", (int)n - 1, s + 1);
    }
    if (o->kind == ARG_WORD) {
        fputs(" -x -a '", out);
        print_words(out, o->words);
        fputc('\'', out);
    } else if (o->kind != ARG_FLAG) {
        fputs(o->kind == ARG_FILE ? " -r -F" : " -x", out);
    }
    fputs(" -d '", out);
    print_quoted(out, o->help, true);
    fputs("'\n", out);
}

static void print_fish(FILE *out)
{
    const struct arg_option *o;
    fputs("# bitnet completion for fish\nfunction __bitnet_command\n"
          "    set -l words (commandline -opc)\n    set -l command run\n"
          "    if test (count $words) -ge 2; and not string match -q -- '-*' $words[2]\n"
          "        set command $words[2]\n    end\n"
          "    if test \"$command\" = bench; and test (count $words) -ge 3; and "
          "test \"$words[3]\" = kernels\n        set command 'bench kernels'\n    end\n"
          "    test \"$command\" = \"$argv[1]\"\nend\n",
          out);
    for (size_t c = 0; arg_commands[c] != NULL; c++) {
        if (strchr(arg_commands[c]->name, ' ') == NULL) {
            fprintf(out, "complete -c bitnet -n __fish_use_subcommand -a %s -d '",
                    arg_commands[c]->name);
            print_quoted(out, arg_commands[c]->summary, true);
            fputs("'\n", out);
        }
        for (size_t i = 0; (o = args_row(arg_commands[c], i, NULL)) != NULL; i++)
            print_fish_option(out, arg_commands[c], o);
    }
}

void args_print_completion(FILE *out, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(out);
    else
        print_fish(out);
}
