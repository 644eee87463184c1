/* template.c: the table of chat templates, their detection and rendering. */
#include "src/template.h"

#include <stdlib.h>
#include <string.h>

static const struct template templates[] = {
    /* BitNet b1.58 2B-4T, from its tokenizer_config: no newlines between the parts. */
    {"bitnet",
     {{"System: ", "<|eot_id|>"}, {"User: ", "<|eot_id|>"}, {"Assistant: ", "<|eot_id|>"}},
     "Assistant: ",
     true},
    {"llama3",
     {{"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
      {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
      {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"}},
     "<|start_header_id|>assistant<|end_header_id|>\n\n",
     true},
    /* Qwen and all that follow it. */
    {"chatml",
     {{"<|im_start|>system\n", "<|im_end|>\n"},
      {"<|im_start|>user\n", "<|im_end|>\n"},
      {"<|im_start|>assistant\n", "<|im_end|>\n"}},
     "<|im_start|>assistant\n",
     false},
    {"falcon3",
     {{"<|system|>\n", "\n"}, {"<|user|>\n", "\n"}, {"<|assistant|>\n", "<|endoftext|>\n"}},
     "<|assistant|>\n",
     false},
    /* The word of the role directly followed by the content. */
    {"falcon-e",
     {{"system", "\n"}, {"user", "\n"}, {"assistant", "\n"}},
     "assistant\n",
     false},
    /* For models without a template: texts as they stand. */
    {"plain", {{"", "\n\n"}, {"", ""}, {"", "\n"}}, "", false},
};

const char *role_name(enum role r)
{
    static const char *const names[N_ROLES] = {"system", "user", "assistant"};
    return names[r];
}

const struct template *template_at(size_t i)
{
    return i < sizeof templates / sizeof *templates ? &templates[i] : NULL;
}

const struct template *template_find(const char *name)
{
    const struct template *t;
    for (size_t i = 0; (t = template_at(i)) != NULL; i++) {
        if (strcmp(t->name, name) == 0)
            return t;
    }
    return NULL;
}

static bool has(const char *text, const char *mark)
{
    return strstr(text, mark) != NULL;
}

const char *template_detect(const char *jinja)
{
    if (has(jinja, "<|start_header_id|>"))
        return "llama3";
    if (has(jinja, "<|im_start|>"))
        return "chatml";
    /* Phi has the same marks for its roles and <|end|> behind each message. */
    if (has(jinja, "<|user|>") && has(jinja, "<|assistant|>") && !has(jinja, "<|end|>"))
        return "falcon3";
    if (has(jinja, "<|eot_id|>") && (has(jinja, "capitalize") || has(jinja, "User: ")) &&
        has(jinja, "Assistant: "))
        return "bitnet";
    if (!has(jinja, "<|") && !has(jinja, "[INST]") &&
        (has(jinja, "message['role'] + message['content']") ||
         has(jinja, "message.role + message.content")))
        return "falcon-e";
    return NULL;
}

void rendered_add(struct rendered *r, const char *text, size_t n_bytes, bool is_mark)
{
    if (n_bytes == 0)
        return;
    buffer_add(&r->text, text, n_bytes);
    struct piece *last = r->n_pieces > 0 ? &r->pieces[r->n_pieces - 1] : NULL;
    if (last != NULL && !last->is_mark && !is_mark) {
        last->end = r->text.n_bytes;
        return;
    }
    if (r->n_pieces == r->n_alloc) {
        size_t n = r->n_alloc * 2 + 16;
        struct piece *p = realloc(r->pieces, n * sizeof *p);
        if (p == NULL) {
            r->failed = true;
            return;
        }
        r->pieces = p;
        r->n_alloc = n;
    }
    r->pieces[r->n_pieces++] = (struct piece){r->text.n_bytes, is_mark};
    r->failed = r->failed || r->text.failed;
}

/* Text of a template: its marks are what stands in <| |>. */
static void add_own(struct rendered *r, const char *text)
{
    while (*text != '\0') {
        const char *mark = strstr(text, "<|");
        size_t n_before = mark != NULL ? (size_t)(mark - text) : strlen(text);
        rendered_add(r, text, n_before, false);
        text += n_before;
        if (mark != NULL) {
            size_t n = (size_t)(strstr(mark, "|>") + 2 - mark);
            rendered_add(r, mark, n, true);
            text += n;
        }
    }
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void template_message(struct rendered *r, const struct template *t, enum role role,
                      const char *text, size_t n_bytes)
{
    if (t->trim) {
        while (n_bytes > 0 && is_blank(text[n_bytes - 1]))
            n_bytes--;
        while (n_bytes > 0 && is_blank(*text)) {
            text++;
            n_bytes--;
        }
    }
    add_own(r, t->roles[role].before);
    rendered_add(r, text, n_bytes, false);
    add_own(r, t->roles[role].after);
}

void template_close(struct rendered *r, const struct template *t, enum role role)
{
    add_own(r, t->roles[role].after);
}

void template_reply(struct rendered *r, const struct template *t)
{
    add_own(r, t->reply);
}

void rendered_free(struct rendered *r)
{
    buffer_free(&r->text);
    free(r->pieces);
    *r = (struct rendered){0};
}
