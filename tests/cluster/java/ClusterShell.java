/* SPDX-License-Identifier: Apache-2.0 */

import alluxio.AlluxioURI;
import alluxio.cli.fs.FileSystemShell;
import alluxio.cli.fsadmin.FileSystemAdminShell;
import alluxio.client.file.FileOutStream;
import alluxio.client.file.FileSystem;
import alluxio.conf.InstancedConfiguration;
import alluxio.exception.FileDoesNotExistException;
import alluxio.grpc.CreateFilePOptions;
import alluxio.grpc.DeletePOptions;
import alluxio.grpc.WritePType;
import alluxio.wire.FileBlockInfo;
import alluxio.wire.WorkerNetAddress;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Obeys lines on standard input: words that are URL-encoded, separated by blanks, the first being the command. Answers
 * each with a line: the exit code, a blank, and the URL-encoded output.
 */
public final class ClusterShell {
  private static final String UTF8 = "UTF-8";

  private FileSystem files;
  private InstancedConfiguration conf;
  private FileSystemShell shell;
  private final Map<String, FileOutStream> unfinished = new HashMap<>();

  private ClusterShell() {
    reset();
  }

  /** After a restart of the master, connections fail once more. */
  private void reset() {
    conf = Release.configuration();
    files = FileSystem.Factory.create(conf);
    shell = new FileSystemShell(conf);
  }

  public static void main(String[] args) throws IOException {
    PrintStream answers = System.out;
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, UTF8));
    ClusterShell self = new ClusterShell();
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      ByteArrayOutputStream output = new ByteArrayOutputStream();
      PrintStream captured = new PrintStream(output, true, UTF8);
      System.setOut(captured);
      int code = self.obey(Arrays.stream(line.split(" ", -1)).map(ClusterShell::decoded).toArray(String[]::new));
      captured.flush();
      answers.println(code + " " + URLEncoder.encode(output.toString(UTF8), UTF8));
      answers.flush();
    }
    System.exit(0); // Alluxio's threads are not daemons
  }

  private static String decoded(String word) {
    try {
      return URLDecoder.decode(word, UTF8);
    } catch (IOException error) {
      throw new AssertionError(error);
    }
  }

  private int obey(String[] words) {
    String[] rest = Arrays.copyOfRange(words, 1, words.length);
    try {
      switch (words[0]) {
        case "fs":
          return shell.run(rest);
        case "fsadmin":
          return admin(rest);
        case "write": // path, local file, block size, write type, worker, whether over an old one
          if (Boolean.parseBoolean(rest[5])) {
            delete(rest[0]);
          }
          try (FileOutStream stream = create(rest[0], rest[2], rest[3], rest[4])) {
            copy(rest[1], stream);
          }
          return 0;
        case "begin": // path, block size, write type, worker
          unfinished.put(rest[0], create(rest[0], rest[1], rest[2], rest[3]));
          return 0;
        case "append": // path, local file
          copy(rest[1], unfinished.get(rest[0]));
          unfinished.get(rest[0]).flush();
          return 0;
        case "finish": // path
          unfinished.remove(rest[0]).close();
          return 0;
        case "abandon": // path
          FileOutStream stream = unfinished.remove(rest[0]);
          stream.cancel();
          stream.close();
          return 0;
        case "reset":
          shell.close();
          files.close();
          reset();
          return 0;
        case "locations": // path; answers a line for each block, with the workers that have it
          for (FileBlockInfo block : files.getStatus(new AlluxioURI(rest[0])).getFileBlockInfos()) {
            System.out.println(block.getBlockInfo().getLocations().stream()
                .map(location -> name(location.getWorkerAddress()))
                .collect(Collectors.joining(" ")));
          }
          return 0;
        case "cache": // path, worker
          Release.cache(files, new AlluxioURI(rest[0]), rest[1]);
          return 0;
        default:
          System.out.println("no such command: " + words[0]);
          return 2;
      }
    } catch (Exception error) {
      error.printStackTrace(System.out);
      return 1;
    }
  }

  /** Workers are named HOST:PORT. */
  static String name(WorkerNetAddress address) {
    return address.getHost() + ":" + address.getRpcPort();
  }

  private int admin(String[] words) throws IOException {
    try (FileSystemAdminShell admin = new FileSystemAdminShell(conf)) {
      return admin.run(words);
    }
  }

  /** Any of the last three may be empty: as configured. */
  private FileOutStream create(String path, String blockBytes, String writeType, String worker) throws Exception {
    CreateFilePOptions.Builder options = CreateFilePOptions.newBuilder().setRecursive(true);
    if (!blockBytes.isEmpty()) {
      options.setBlockSizeBytes(Long.parseLong(blockBytes));
    }
    if (!writeType.isEmpty()) {
      options.setWriteType(WritePType.valueOf(writeType));
    }
    AlluxioURI uri = new AlluxioURI(path);
    return worker.isEmpty() ? files.createFile(uri, options.build()) : Release.create(conf, uri, options.build(), worker);
  }

  private void delete(String path) throws Exception {
    try {
      files.delete(new AlluxioURI(path), DeletePOptions.newBuilder().setRecursive(true).build());
    } catch (FileDoesNotExistException error) {
      // As it should be.
    }
  }

  private static void copy(String local, OutputStream to) throws IOException {
    byte[] buffer = new byte[1 << 20];
    try (InputStream from = Files.newInputStream(Paths.get(local))) {
      for (int got = from.read(buffer); got >= 0; got = from.read(buffer)) {
        to.write(buffer, 0, got);
      }
    }
  }
}
