#!/usr/bin/env python3
"""What the shipped model must compute, from a second implementation: NumPy in float64.

usage: make_golden.py FOLDER OUT     FOLDER: the model's Hugging Face folder (packed BitNet safetensors)

Writes for each text below: TEXT.ids.i32 (int32 ids, BOS first), TEXT.actq8.f32 and TEXT.f32act.f32
(raw float32 logits of the positions in ROWS, with int8 and with plain activations), and nll.txt:
name, tokens, summed negative log-likelihood with int8 activations. Needs numpy and regex.
The texts are ours.
"""
import json, struct, sys
import numpy as np
import regex

FOLDER, OUT = sys.argv[1:3]
ROWS = (0, 5, 20, -1)
TEXTS = {
    'fox': 'Once upon a time there was a small fox who lived near a lake. Every morning the fox ran '
           'to the water and said hello to the ducks. One day a duck did not answer. "Are you '
           'sad?" asked the fox. The duck said, "I lost my red ball." The fox looked under the tree, '
           'and there it was!\n\nThe duck was happy. They played until the sun went down.',
    'rain': 'It was raining. Mia and Ben could not play outside, so they made a boat of paper. They '
            'put it on the little river in front of the house. The boat went fast! "Stop, boat!" '
            'Ben shouted. But the boat did not stop. Mia laughed and said, "We can make 3 more."',
}
PATTERN = regex.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_letters():
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def encode(text, tokenizer, bos):
    letters, model = byte_letters(), tokenizer['model']
    ranks = {tuple(m.split(' ') if isinstance(m, str) else m): i for i, m in enumerate(model['merges'])}
    ids = [bos]
    for word in PATTERN.findall(text):
        parts = [letters[b] for b in word.encode()]
        while len(parts) > 1:
            rank, at = min((ranks.get(p, 1 << 30), i) for i, p in enumerate(zip(parts, parts[1:])))
            if rank == 1 << 30:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        ids += [model['vocab'][p] for p in parts]
    return np.array(ids)


def tensors(path):
    data = open(path, 'rb').read()
    n = struct.unpack_from('<Q', data)[0]
    for name, t in json.loads(data[8:8 + n]).items():
        if name == '__metadata__':
            continue
        raw = data[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]]
        if t['dtype'] == 'BF16':
            wide = np.frombuffer(raw, '<u2').astype('<u4') << 16
            yield name, wide.view('<f4').astype(np.float64).reshape(t['shape'])
        elif t['dtype'] == 'U8':
            yield name, np.frombuffer(raw, np.uint8).reshape(t['shape'])


config = json.load(open(FOLDER + '/config.json'))
W = dict(tensors(FOLDER + '/model.safetensors'))
heads, kv_heads, dim = config['num_attention_heads'], config['num_key_value_heads'], config['head_dim']
eps, theta, quantized = config['rms_norm_eps'], config['rope_theta'], True


def rms(x, gain):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gain


def linear(x, name):
    packed = W[name + '.weight']
    codes = np.concatenate([(packed >> 2 * i) & 3 for i in range(4)])
    weights = (codes.astype(np.float64) - 1) * W[name + '.weight_scale'][0]
    if quantized:
        scale = 127 / np.maximum(np.abs(x).max(-1, keepdims=True), 1e-5)
        x = np.clip(np.rint(x * scale), -128, 127) / scale
    return x @ weights.T


def rotate(x):
    half = dim // 2
    angle = np.arange(len(x))[:, None] * theta ** (-2.0 * np.arange(half) / dim)
    c, s, a, b = np.cos(angle)[:, None], np.sin(angle)[:, None], x[..., :half], x[..., half:]
    return np.concatenate([a * c - b * s, a * s + b * c], -1)


def forward(ids):
    n, x = len(ids), W['model.embed_tokens.weight'][ids]
    mask = np.triu(np.full((n, n), -np.inf), 1)
    for i in range(config['num_hidden_layers']):
        p = f'model.layers.{i}.'
        h = rms(x, W[p + 'input_layernorm.weight'])
        q = rotate(linear(h, p + 'self_attn.q_proj').reshape(n, heads, dim))
        k = rotate(linear(h, p + 'self_attn.k_proj').reshape(n, kv_heads, dim))
        v = linear(h, p + 'self_attn.v_proj').reshape(n, kv_heads, dim)
        k, v = np.repeat(k, heads // kv_heads, 1), np.repeat(v, heads // kv_heads, 1)
        scores = np.einsum('ihd,jhd->hij', q, k) / np.sqrt(dim) + mask
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        att = np.einsum('hij,jhd->ihd', scores, v).reshape(n, heads * dim)
        x = x + linear(rms(att, W[p + 'self_attn.attn_sub_norm.weight']), p + 'self_attn.o_proj')
        h = rms(x, W[p + 'post_attention_layernorm.weight'])
        ffn = np.maximum(linear(h, p + 'mlp.gate_proj'), 0) ** 2 * linear(h, p + 'mlp.up_proj')
        x = x + linear(rms(ffn, W[p + 'mlp.ffn_sub_norm.weight']), p + 'mlp.down_proj')
    return rms(x, W['model.norm.weight']) @ W['model.embed_tokens.weight'].T


tokenizer = json.load(open(FOLDER + '/tokenizer.json'))
with open(OUT + '/nll.txt', 'w') as nll_file:
    for name, text in TEXTS.items():
        ids = encode(text, tokenizer, config['bos_token_id'])
        open(f'{OUT}/{name}.txt', 'w').write(text)
        ids.astype('<i4').tofile(f'{OUT}/{name}.ids.i32')
        for quantized, kind in ((False, 'f32act'), (True, 'actq8')):
            logits = forward(ids)
            logits[list(ROWS)].astype('<f4').tofile(f'{OUT}/{name}.{kind}.f32')
        logp = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True)) \
            - logits.max(-1, keepdims=True)
        nll = -logp[np.arange(len(ids) - 1), ids[1:]].sum()
        nll_file.write(f'{name} {len(ids) - 1} {nll:.6f}\n')
