cmd_chat.o: src/cmd_chat.c src/cmd_each.h src/cmd_choose.h \
 src/cmd_prompt.h src/cmd_host.h src/cmd.h src/args.h src/base.h \
 include/bitnet.h src/cmd_answer.h src/template.h src/cmd_out.h \
 src/json.h src/lineedit.h src/cmd_file.h src/map.h src/progress.h
